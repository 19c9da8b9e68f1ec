"""Which folders are splits, which files below a folder are examples, and how paths are shown."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from cnn.config.errors import UserError

# Files that file managers, archives and network storage create.
_LEFT_BEHIND = frozenset({"@eaDir", "__MACOSX", "Thumbs.db", "desktop.ini", "#recycle"})


def is_hidden(name: str) -> bool:
    """Whether a file or folder is ignored as an example or class."""
    return name.startswith(".") or name in _LEFT_BEHIND


def shown(path: str | os.PathLike[str]) -> str:
    r"""Returns a path as text that can always be printed, bytes that are not UTF-8 as \xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """Returns what is in a folder, but for hidden files and folders, by name."""
    with os.scandir(folder) as found:
        return sorted((e for e in found if not is_hidden(e.name)), key=lambda e: e.name)


def expanded(path: str | os.PathLike[str], field: str) -> Path:
    """Returns a path with a leading ~ or ~user replaced by that user's home folder.

    Raises:
      UserError: there is no such user or home folder; names the field that the path is of.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{field}: '{shown(path)}': no home folder is known for it; give a path without ~"
        ) from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; links in a loop are none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def holds_splits(root: Path, names: Iterable[str]) -> bool:
    """Whether the folders of a root are splits, with class folders in them, and not classes.

    They are if one of the given names is such a folder, or if no file lies directly in any of them.
    """
    named = (root / name for name in names if (root / name).is_dir())
    if any(is_folder(inside) for folder in named for inside in entries(folder)):
        return True
    folders = (entry for entry in entries(root) if is_folder(entry))
    return all(is_folder(inside) for folder in folders for inside in entries(folder.path))


def files_below(folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields the paths of all files below a folder; links are followed.

    A dangling link is yielded too, so that it is reported as broken. A link to one of its parent
    folders is not followed.

    Args:
      folder: where to look.
      above: real paths of the folders on the way here.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in entries(folder):
        if is_folder(entry):
            yield from files_below(entry.path, (*above, real))
        else:
            yield entry.path


def why_unreadable(path: str) -> str:
    """Returns why a path cannot be opened as a file or folder, or ""."""
    if os.path.isfile(path) or os.path.isdir(path):
        return ""
    if os.path.islink(path):
        return f"a link to {shown(os.readlink(path))}, which is not there"
    return "not a regular file"
