"""Who trains a run: a file that one worker at a time holds, on any shared file system."""

import contextlib
import json
import os
import socket
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnn.training.run_folder import write_atomically

HEARTBEAT = 5.0  # seconds between two signs of life
DEAD_AFTER = 60.0  # seconds without one after which a worker counts as dead
# What a worker leaves that died while it wrote, where there are no links.
_UNREADABLE = {"machine": "", "pid": 0, "id": "unreadable"}
LOST = 75  # exit code of a worker whose run was taken over, as sysexits.h calls "try again"


def claim_file(folder: Path) -> Path:
    """Returns the file that says who trains the run of a folder."""
    return folder.with_name(folder.name + ".claim")


def is_held_by(folder: Path, pid: int) -> bool:
    """Whether a process of this machine has claimed the run of a folder."""
    owner = _read(claim_file(folder))
    return bool(owner) and owner["pid"] == pid and owner["machine"] == _machine()


class Claim:
    """Context in which this worker alone holds a run; `held` says whether it got it.

    The holder touches its file every few seconds. A file that was not touched for a minute, or
    whose process is gone from this machine, was left by a dead worker and is taken over. Ages are
    told by the clock of the file system, so the clocks of hosts may differ. A worker that was
    only asleep finds its claim gone and ends at once.

    Attributes:
      held: whether this worker trains the run.
      silent: whether it is another's who has missed a sign of life, and may be dead.
    """

    def __init__(self, folder: Path, lost: Callable[[], None] | None = None):
        self._file = claim_file(folder)
        self._owner = {"machine": _machine(), "pid": os.getpid(), "id": uuid.uuid4().hex}
        self._stop = threading.Event()
        self._lost = lost or self._end
        self.held = self.silent = False

    def __enter__(self) -> "Claim":
        """Tries to take the run."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self.held = self._create(self._file)
        if not self.held:
            self._examine()
        if self.held:
            threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the run back."""
        self._stop.set()
        if self.held and self._is_mine():
            self._file.unlink(missing_ok=True)

    def _create(self, file: Path) -> bool:
        """Creates a file with this worker's name if there is none; one of several succeeds."""
        own = file.with_name(f"{file.name}.{self._owner['id']}")
        own.write_text(json.dumps(self._owner))
        try:
            # A link appears with its content, where an exclusive open leaves an empty file a while.
            os.link(own, file)
        except FileExistsError:
            return False
        except OSError:
            return self._create_without_links(file)
        finally:
            own.unlink()
        return True

    def _create_without_links(self, file: Path) -> bool:
        try:
            with open(file, "x") as claim:
                json.dump(self._owner, claim)
        except FileExistsError:
            return False
        return True

    def _examine(self) -> None:
        """Takes the claim over if its holder is dead."""
        owner, silence = _read(self._file), self._silence(self._file)
        if owner is None or silence is None:
            return
        self.silent = silence > 2 * HEARTBEAT
        here = owner["machine"] == self._owner["machine"]
        if silence > DEAD_AFTER or (here and not _is_alive(owner["pid"])):
            self.silent = True
            self._take_over(owner)

    def _take_over(self, dead: dict[str, Any]) -> None:
        """Replaces a dead worker's claim, if no other worker is about to."""
        heir = self._file.with_name(f"{self._file.name}.{dead['id']}.heir")
        if not self._create(heir):
            # An heir that died in these few lines is cleared away for the next attempt.
            if (self._silence(heir) or 0) > DEAD_AFTER:
                heir.unlink(missing_ok=True)
            return
        try:
            # The claim of `dead` is replaced by its heir only, so it is still there or done with.
            if _read(self._file) == dead:
                write_atomically(self._file, json.dumps(self._owner))
                self.held, self.silent = True, False
        finally:
            heir.unlink(missing_ok=True)

    def _silence(self, file: Path) -> float | None:
        """Seconds since a file was touched, by the clock of the file system that keeps it."""
        probe = file.with_name(f"{self._file.name}.{self._owner['id']}.now")
        try:
            probe.touch()
            return probe.stat().st_mtime - file.stat().st_mtime
        except FileNotFoundError:
            return None
        finally:
            probe.unlink(missing_ok=True)

    def _is_mine(self) -> bool:
        return _read(self._file) == self._owner

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            if not self._is_mine():
                if not self._stop.is_set():
                    self._lost()
                return
            # A file system that is away for a moment is not a reason to stop.
            with contextlib.suppress(OSError):
                os.utime(self._file)

    def _end(self) -> None:
        print(f"{self._file}: another worker took this run over", file=sys.stderr, flush=True)
        os._exit(LOST)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except json.JSONDecodeError:
        return _UNREADABLE


def _machine() -> str:
    """Names what process ids are unique in: a host since its last start, or a container on it."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text().strip()]
        parts += [os.readlink("/proc/self/ns/pid")]
    return " ".join(parts)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
