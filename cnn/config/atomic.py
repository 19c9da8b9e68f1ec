"""Files and folders that are written completely or not at all."""

import errno
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path

from cnn.config.errors import UserError

PARTIAL = ".partial"  # last suffix of a file that is being written


class _Lock(Enum):
    """Who has locked a folder: this process, another, or nobody, where folders have no locks."""

    HELD = auto()
    TAKEN = auto()
    UNAVAILABLE = auto()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Context of a file beside `path`, which replaces it at the end; an error leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may write one file at the same time.
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file in one step: a reader sees the old text or the new, never a part."""
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Context of a folder beside `target`, which gets the name of that at the end.

    An error leaves nothing. What a killed process of this host left is removed by the next one.

    Args:
      target: a folder that is not there yet, or is empty.

    Raises:
      UserError: a process of this host is writing it; or at the end something is in it, or another
        process has removed what was written.
    """
    target = Path(os.path.realpath(target))
    partial = target.with_name(f"{target.name}{PARTIAL}-{socket.gethostname()}")
    descriptor = _claim(partial, target)
    try:
        yield partial
        # Hosts of one name take each other's folders for those of killed processes.
        if not _is_at(partial, descriptor):
            raise UserError(
                f"{target}: another process has removed what was being written; run one at a time, "
                "or choose another folder"
            )
        _rename(partial, target)
    except BaseException:
        if _is_at(partial, descriptor):
            shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def _claim(partial: Path, target: Path) -> int:
    """Makes a new folder and locks it; returns the descriptor that holds the lock.

    A process that dies loses its locks.
    """
    while True:
        try:
            partial.mkdir(parents=True)
            is_new = True
        except FileExistsError:
            is_new = False
        try:
            descriptor = os.open(partial, os.O_RDONLY)
        except FileNotFoundError:
            continue
        lock = _lock(descriptor)
        is_own = lock is _Lock.HELD and _is_at(partial, descriptor)
        if is_new and (is_own or lock is _Lock.UNAVAILABLE):
            return descriptor
        if is_own:
            # Its process was killed.
            shutil.rmtree(partial)
        os.close(descriptor)
        if lock is not _Lock.HELD:
            hint = f"; if there is none, delete {partial}" if lock is _Lock.UNAVAILABLE else ""
            raise UserError(
                f"{target}: another process is writing it; wait until it ends, or choose another "
                f"folder{hint}"
            )


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether a path still leads to an open folder, which its writer may rename or remove."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> _Lock:
    """Tries to lock an open folder."""
    try:
        import fcntl  # Not on Windows.

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _Lock.TAKEN
    except (ImportError, OSError):
        return _Lock.UNAVAILABLE
    return _Lock.HELD


def _rename(partial: Path, target: Path) -> None:
    try:
        if target.is_dir():
            target.rmdir()
        os.replace(partial, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise UserError(
            f"{target}: another process has written it meanwhile; choose another folder"
        ) from error
