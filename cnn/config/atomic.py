"""Files and folders that are written completely or not at all."""

import errno
import glob
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
    start = f"{target.name}{PARTIAL}-{socket.gethostname()}-"
    for left in target.parent.glob(f"{glob.escape(start)}*"):
        pid = left.name.removeprefix(start)
        if not pid.isdecimal():
            continue
        if int(pid) != os.getpid() and is_alive(int(pid)):
            raise UserError(
                f"{target}: process {pid} is writing it; wait until it ends, or choose another "
                "folder"
            )
        shutil.rmtree(left, ignore_errors=True)
    partial = target.with_name(f"{start}{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        yield partial
        _rename(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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


def is_alive(pid: int) -> bool:
    """Whether there is a process of this machine with an id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
