"""The registry of official data sets that can be prepared."""

import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cnn.config.errors import UserError
from cnn.config.registry import Registry
from cnn.data.files import shown
from cnn.data.prepare.archives import Archive
from cnn.data.prepare.writer import PreparedSet

Files = Mapping[str, Path]


@dataclass(frozen=True)
class Builder:
    """Converts the archives of an official distribution, as the TFDS builder of that name does.

    Attributes:
      about: one line.
      archives: of the official distribution.
      sets: (files by name) -> the sets to write.
    """

    about: str
    archives: tuple[Archive, ...]
    sets: Callable[[Files], list[PreparedSet]]


BUILDERS: Registry[Builder] = Registry("data set")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Context in which errors of libraries over a damaged file become one sentence.

    Raises:
      UserError: the file is damaged or has another format.
    """
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, IndexError, tarfile.TarError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{shown(path)}: is damaged or has another format: {error}") from error
