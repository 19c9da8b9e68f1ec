"""Who trains a run: a file that one worker at a time holds, on any shared file system."""

import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path

HEARTBEAT = 5.0  # seconds between two signs of life
DEAD_AFTER = 60.0  # seconds without one after which a worker counts as dead


class Claim:
    """Context in which this worker alone holds a run; `held` says whether it got it.

    The holder touches its file every few seconds. A file that was not touched for a minute, or
    whose process is gone from this machine, was left by a dead worker and is taken over.
    """

    def __init__(self, folder: Path):
        self._file = folder.with_name(folder.name + ".claim")
        self._owner = {"host": socket.gethostname(), "pid": os.getpid(), "id": uuid.uuid4().hex}
        self._stop = threading.Event()
        self.held = False

    def __enter__(self) -> "Claim":
        """Tries to take the run."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if not self._create() and self._is_abandoned():
            # Renaming succeeds for one of several that try, so one of them takes over.
            aside = self._file.with_name(f"{self._file.name}.{self._owner['id']}")
            try:
                os.rename(self._file, aside)
                aside.unlink()
                self._create()
            except FileNotFoundError:
                pass
        if self.held:
            threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the run back."""
        self._stop.set()
        if self.held:
            self._file.unlink(missing_ok=True)

    def _create(self) -> bool:
        try:
            with open(self._file, "x") as file:
                json.dump(self._owner, file)
        except FileExistsError:
            return False
        self.held = True
        return True

    def _is_abandoned(self) -> bool:
        try:
            silent = time.time() - self._file.stat().st_mtime
            owner = json.loads(self._file.read_text() or "{}")
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        here = owner.get("host") == self._owner["host"]
        return silent > DEAD_AFTER or (here and not _is_alive(owner["pid"]))

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            os.utime(self._file)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
