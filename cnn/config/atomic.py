"""Files and folders that are written completely or not at all."""

import errno
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnn.config.errors import UserError

PARTIAL = ".partial"  # last suffix of a file that is being written


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
      UserError: a process of this host is writing it, or something is in it at the end.
    """
    target = Path(os.path.realpath(target))
    partial = target.with_name(f"{target.name}{PARTIAL}-{socket.gethostname()}")
    lock = _claim(partial, target)
    try:
        yield partial
        _rename(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(lock)


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
            lock = os.open(partial, os.O_RDONLY)
        except FileNotFoundError:
            continue
        held = _locked(lock)
        if is_new and (held is None or (held and _is_at(partial, lock))):
            return lock
        if held and _is_at(partial, lock):
            # Its process was killed.
            shutil.rmtree(partial)
        os.close(lock)
        if not held:
            hint = "" if held is False else f"; if there is none, delete {partial}"
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


def _locked(descriptor: int) -> bool | None:
    """Locks an open folder; False if another process does, None where folders have no locks."""
    try:
        import fcntl  # Not on Windows.

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


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
