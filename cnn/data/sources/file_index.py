"""An index of the files of a folder, cached in the user's cache folder."""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from cnn.config.atomic import write_atomically
from cnn.config.entry import user_cache
from cnn.config.errors import UserError
from cnn.data.files import shown, why_unreadable
from cnn.data.signals import Codec, FileInfo

T = TypeVar("T")

_KEPT = 2000  # files from which an index is written; fewer are inspected again within a second
_AT_ONCE = 512  # files handed to the threads together
_VERSION = 1  # of what a look finds; another one is made anew


def look_at_files(
    folder: Path, names: Sequence[str], codec: Codec, thorough: bool, workers: int
) -> list[FileInfo]:
    """Returns what each file holds, its size and whether it is broken.

    Only files that are new or changed (by size and time) since the index was written are opened;
    the others cost a `stat` each. An interruption keeps the files indexed so far.

    Args:
      folder: that the names are relative to.
      names: of the files.
      codec: how they are read.
      thorough: decode each file as a whole, so that none is found broken later.
      workers: threads.
    """
    index = _Index(folder, codec.feature) if len(names) >= _KEPT else None
    known = index.read() if index else {}
    # Joining texts is quicker than joining paths, which shows with a million files.
    root = str(folder)
    looks = {
        name: look
        for name in names
        if (look := known.get(name)) and _is_current(f"{root}/{name}", look, thorough)
    }
    fresh = [name for name in names if name not in looks]
    try:
        with pool_of(workers) as pool:
            starts = range(0, len(fresh), _AT_ONCE)
            for start in with_bar(starts, "looking at files", hidden=len(fresh) < _KEPT):
                part = fresh[start : start + _AT_ONCE]
                found = pool.map(lambda name: _look_at(str(folder / name), codec, thorough), part)
                looks |= zip(part, found, strict=True)
    finally:
        if index and fresh:
            index.write(known | looks)
    return [looks[name] for name in names]


def _is_current(path: str, look: FileInfo, thorough: bool) -> bool:
    if look.thorough < thorough:
        return False
    try:
        status = os.stat(path)
    except OSError:
        return False
    return look.stamp == _stamp(status)


def _stamp(status: os.stat_result) -> tuple[int, int]:
    """Returns size (of a folder of frames, which has none of its own, 0) and time of change."""
    return 0 if stat.S_ISDIR(status.st_mode) else status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def pool_of(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A thread pool that cancels the remaining work on an error."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _look_at(path: str, codec: Codec, thorough: bool) -> FileInfo:
    if defect := why_unreadable(path):
        return FileInfo(defect=defect)
    try:
        status = os.stat(path)
        found = codec.look_at(Path(path), thorough)
    except UserError as error:
        defect = str(error).removeprefix(f"{shown(path)}: ")
        found = FileInfo(defect=defect.removesuffix("; replace or remove it"))
    except OSError as error:
        return FileInfo(defect=f"cannot be read: {error.strerror or error}")
    return replace(found, stamp=_stamp(status), thorough=thorough)


def with_bar(items: Sequence[T], what: str, *, hidden: bool = False) -> Iterable[T]:
    """Yields the items, with a labelled progress bar on a terminal."""
    console = Console(stderr=True)
    hidden = hidden or not console.is_terminal
    return track(items, what, console=console, transient=True, disable=hidden)


class _Index:
    """A JSON file with the information on each file.

    Args:
      folder: that is indexed.
      kind: of the examples; images and sounds are indexed separately.
    """

    def __init__(self, folder: Path, kind: str):
        named = f"{_VERSION} {kind} ".encode() + os.fsencode(folder.resolve())
        self._file = cache_folder() / f"{hashlib.sha256(named).hexdigest()[:24]}.json"

    def read(self) -> dict[str, FileInfo]:
        """Returns the looks by file name; none where the index is missing or damaged."""
        try:
            stored = json.loads(self._file.read_text("utf-8"))
            return {
                name: FileInfo(tuple(shape), defect, tuple(stamp), thorough)
                for name, (shape, defect, stamp, thorough) in stored.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def write(self, looks: dict[str, FileInfo]) -> None:
        """Replaces the index; skipped if the cache folder cannot be written."""
        plain = {
            name: (look.shape, look.defect, look.stamp, look.thorough)
            for name, look in looks.items()
            if look.stamp
        }
        write_cache(self._file, json.dumps(plain))


def cache_folder() -> Path:
    """Returns where indices are kept."""
    # Below the null device nothing is ever found, and nothing can be written.
    return (user_cache() or Path(os.devnull)) / "index"


def write_cache(file: Path, text: str) -> None:
    """Replaces a file of the cache atomically; skipped if the cache cannot be written."""
    with contextlib.suppress(OSError):
        write_atomically(file, text)
