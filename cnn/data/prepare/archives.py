"""Official archives: taken from the given files, or downloaded; always verified."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cnn.config.errors import UserError
from cnn.data.files import shown

_BLOCK = 1 << 20  # bytes read at once


@dataclass(frozen=True)
class Archive:
    """One file of an official distribution.

    Attributes:
      url: where it is.
      size: in bytes.
      sha256: of the file.
      manual: requires registration with its owner, so it is never downloaded.
      optional: used only if given.
    """

    url: str
    size: int
    sha256: str
    manual: bool = False
    optional: bool = False

    @property
    def name(self) -> str:
        """Of the file."""
        return Path(urlparse(self.url).path).name


def collect_archives(
    archives: Sequence[Archive], given: Sequence[Path], downloads: Path
) -> dict[str, Path]:
    """Returns the verified file of each archive by name.

    Args:
      archives: that are wanted.
      given: files, or folders that hold them; () downloads all.
      downloads: folder for what is downloaded.

    Raises:
      UserError: a file is missing, is not the official one, or cannot be downloaded.
    """
    found = {}
    for archive in archives:
        path = _among(archive.name, given)
        if path is None and archive.optional:
            continue
        if path is None and (given or archive.manual):
            wanted = ", ".join(a.name for a in archives if not a.optional)
            raise UserError(
                f"--from: {archive.name} is missing; pass {wanted} (from {archive.url})"
            )
        found[archive.name] = path or _download(archive, downloads / archive.name)
        if path:
            _verify(archive, path)
    return found


def _among(name: str, given: Iterable[Path]) -> Path | None:
    for path in given:
        if path.name == name and path.is_file():
            return path
        if (path / name).is_file():
            return path / name
    return None


def _verify(archive: Archive, path: Path) -> None:
    """Raises `UserError` unless the file has the official size and checksum."""
    size = path.stat().st_size
    if size != archive.size:
        raise UserError(
            f"{shown(path)}: has {size:,} bytes, but the official {archive.name} has "
            f"{archive.size:,}; download it again from {archive.url}"
        )
    with _bar(f"checking {archive.name}", size) as advance, path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(_BLOCK):
            digest.update(block)
            advance(len(block))
    if digest.hexdigest() != archive.sha256:
        raise UserError(
            f"{shown(path)}: its SHA-256 is {digest.hexdigest()}, but that of the official "
            f"{archive.name} is {archive.sha256}; download it again from {archive.url}"
        )


def _download(archive: Archive, target: Path) -> Path:
    """Downloads a file, resuming an interrupted download, and verifies it."""
    if target.is_file():
        _verify(archive, target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    try:
        _fetch(archive, partial)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"{archive.url} could not be downloaded: {reason}; run the command again, or pass the "
            f"file with --from={archive.name}"
        ) from error
    try:
        _verify(archive, partial)
    except UserError:
        partial.unlink()
        raise
    return partial.rename(target)


def _fetch(archive: Archive, partial: Path) -> None:
    there = partial.stat().st_size if partial.exists() else 0
    if there >= archive.size:
        return
    request = urllib.request.Request(archive.url, headers={"User-Agent": "cnn"})
    if there:
        request.add_header("Range", f"bytes={there}-")
    with urllib.request.urlopen(request, timeout=60) as answer:
        # 206: the server sends the rest; else all of it.
        goes_on = answer.status == 206
        with (
            partial.open("ab" if goes_on else "wb") as file,
            _bar(archive.name, archive.size, there if goes_on else 0) as advance,
        ):
            while block := answer.read(_BLOCK):
                file.write(block)
                advance(len(block))
    if partial.stat().st_size < archive.size:
        raise ConnectionError("the connection ended early")


class _bar:  # noqa: N801 used like a function
    """Context that shows a bar of bytes on a terminal; gives a function that moves it."""

    def __init__(self, what: str, total: int, done: int = 0):
        console = Console(stderr=True)
        columns = TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn()
        self._progress = Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )
        self._task = self._progress.add_task(what, total=total, completed=done)

    def __enter__(self):
        self._progress.start()
        return lambda count: self._progress.advance(self._task, count)

    def __exit__(self, *error: object) -> None:
        self._progress.stop()
