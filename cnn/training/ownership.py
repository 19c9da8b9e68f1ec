"""Ownership of a run folder: a file held by one process at a time, on any shared file system."""

import contextlib
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cnn.config.atomic import write_atomically
from cnn.config.errors import UserError
from cnn.config.json_file import read_json
from cnn.training.run_folder import make_folder, moved_away

HEARTBEAT = 5.0  # seconds between two heartbeats
DEAD_AFTER = 60.0  # seconds without a heartbeat after which a worker counts as dead
_KINDS = {"machine": str, "host": str, "pid": int, "id": str, "since": float}
# What a process leaves that died while it wrote, where there are no links.
_UNREADABLE = {"machine": "", "host": "?", "pid": 0, "id": "unreadable", "since": 0.0}
TAKEN_OVER = 75  # exit code of a process whose run was taken over, as sysexits.h calls "try again"
_mine: dict[Path, str] = {}  # what this process holds
# Files of others: the time of the last heartbeat seen there, and when this process first saw it.
_watched: dict[Path, tuple[float, float]] = {}


def owner_file(folder: Path) -> Path:
    """Returns the file that names the owner of a run folder."""
    return folder / "owner.json"


def is_held_by(folder: Path, pid: int) -> bool:
    """Whether a process of this machine owns a run folder."""
    owner = _read(owner_file(folder))
    return bool(owner) and owner["pid"] == pid and owner["machine"] == _machine()


def owner_of(folder: Path) -> str:
    """Returns a unique name of the owner of a run folder, or ""."""
    return (_read(owner_file(folder)) or {"id": ""})["id"]


def is_owned(folder: Path) -> bool:
    """Whether a living process owns a run folder, by its heartbeat; writes nothing.

    On another machine a dead owner is noticed after a minute, if the clocks agree.
    """
    owner = _read(owner_file(folder))
    if owner is None:
        return False
    if owner["machine"] == _machine():
        return _is_alive(owner["pid"])
    try:
        return abs(time.time() - owner_file(folder).stat().st_mtime) < DEAD_AFTER
    except FileNotFoundError:
        return False


def release(folder: Path) -> None:
    """Releases a run folder, and removes it if it is empty."""
    owner_file(folder).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Context in which this process owns a run folder; it may do so already.

    An owner that died is detected immediately on the same machine, and after a minute on
    another, which is waited for.

    Raises:
      UserError: another process owns it, and names that.
    """
    if folder.absolute() in _mine:
        yield
        return
    seen = None
    with ExitStack() as stack:
        while not (ownership := stack.enter_context(Ownership(folder))).held:
            if not ownership.silent and (ownership.here or seen not in (None, ownership.seen)):
                raise UserError(
                    f"--workdir: {folder} is being trained by {who(folder)}; wait until it ends, "
                    "stop it, or choose another folder"
                )
            if seen is None:
                print(
                    f"{folder} is claimed by {who(folder)}; waiting for a sign of life, "
                    f"or for {DEAD_AFTER:g} s without one",
                    file=sys.stderr,
                    flush=True,
                )
            seen = ownership.seen
            time.sleep(1.0)
        yield


def wait_for_owner(folder: Path) -> None:
    """Waits until a run folder is free: its owner has released it, or counts as dead.

    Raises:
      UserError: as in `owned`.
    """
    if owner_file(folder).exists():
        with owned(folder):
            pass


def who(folder: Path) -> str:
    """Describes the process that owns a run folder."""
    owner = _read(owner_file(folder)) or _UNREADABLE
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["since"]))
    return f"process {owner['pid']} on {owner['host']} (since {since})"


class Ownership:
    """Context in which this process alone owns a run folder; `held` says whether it got it.

    The owner touches its file every few seconds. A file that was not touched for a minute, or
    whose process no longer exists on this machine, belongs to a dead process and is taken over.
    Ages are measured by the clock of the file system, so clocks of hosts may differ, and by how
    long this process has watched, in case that clock was set back. A process that was only
    suspended finds that it lost ownership, and exits.

    Attributes:
      held: whether this process owns the folder.
      silent: whether another process owns it that missed a heartbeat and may be dead.
      here: whether that is a process of this machine.
      seen: time of its last heartbeat, by the clock of the file system.
    """

    def __init__(self, folder: Path, lost: Callable[[], None] | None = None):
        self._folder, self._file = folder.absolute(), owner_file(folder)
        self._owner = {
            "machine": _machine(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": round(time.time(), 3),
            "id": uuid.uuid4().hex,
        }
        self._stop = threading.Event()
        self._lost = lost or self._end
        self.held = self.silent = self.here = False
        self.seen: float | None = None

    def __enter__(self) -> "Ownership":
        """Tries to claim the folder, creating it if needed."""
        make_folder(self._folder)
        try:
            self.held = self._create(self._file)
        except FileNotFoundError:
            # Its last owner has just removed the folder, which was empty.
            make_folder(self._folder)
            self.held = self._create(self._file)
        if not self.held:
            self._examine()
        if self.held:
            _mine[self._folder] = self._owner["id"]
            threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Releases the folder."""
        self._stop.set()
        if self.held:
            _mine.pop(self._folder, None)
            if self._is_mine():
                release(self._folder)

    def _create(self, file: Path) -> bool:
        """Creates the file with this process's name unless it exists; one of several succeeds."""
        own = file.with_name(f"{file.name}.{self._owner['id']}")
        try:
            own.write_text(json.dumps(self._owner))
        except OSError:
            own.unlink(missing_ok=True)
            raise
        try:
            # A link appears with its content, where an exclusive open leaves an empty file a while.
            os.link(own, file)
        except FileExistsError:
            return False
        except OSError:
            return self._create_without_links(file)
        finally:
            own.unlink(missing_ok=True)
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
            # It was released just now.
            self.silent = True
            return
        self.silent = silence >= 2 * HEARTBEAT
        self.here = owner["machine"] == self._owner["machine"]
        if silence > DEAD_AFTER or (self.here and not _is_alive(owner["pid"])):
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
        """Seconds since a file was touched, by the clock of the file system that keeps it.

        A time in the future counts as two heartbeats ago, or as when it was first seen if that is
        longer ago.
        """
        probe = file.with_name(f"{self._file.name}.{self._owner['id']}.now")
        try:
            probe.touch()
            seen = file.stat().st_mtime
            if file == self._file:
                self.seen = seen
            age = probe.stat().st_mtime - seen
        except FileNotFoundError:
            return None
        finally:
            probe.unlink(missing_ok=True)
        now = time.monotonic()
        before, since = _watched.get(file, (None, now))
        _watched[file] = seen, since if seen == before else now
        return max(age, now - _watched[file][1], 2 * HEARTBEAT if age < -HEARTBEAT else 0.0)

    def _is_mine(self) -> bool:
        return _read(self._file) == self._owner

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            # A file system that is briefly unavailable is no reason to stop.
            with contextlib.suppress(OSError):
                if not self._is_mine():
                    break
                os.utime(self._file)
        if not self._stop.is_set():
            self._lost()

    def _end(self) -> None:
        if self._file.exists():
            code, reason = TAKEN_OVER, f"{self._folder}: taken over by {who(self._folder)}"
        else:
            code, reason = 2, f"error: {moved_away(self._folder)}"
        print(reason, file=sys.stderr, flush=True)
        os._exit(code)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        owner = read_json(file, _KINDS)
    except UserError:
        return _UNREADABLE if file.exists() else None
    # What the operating system and the calendar can hold.
    possible = 0 < owner["pid"] < 2**31 and 0 <= owner["since"] < 2**33
    return owner if possible else _UNREADABLE


def _machine() -> str:
    """Names the scope of process ids: a host since its last boot, or a container on it."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text().strip()]
        parts += [os.readlink("/proc/self/ns/pid")]
    return " ".join(parts)


def _is_alive(pid: int) -> bool:
    """Whether there is a process of this machine with an id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
