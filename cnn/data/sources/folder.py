"""A folder for each split, in it a folder for each class, in that the examples."""

import hashlib
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.encoded import EncodedSplit
from cnn.data.signals import SIGNALS, Codec, Look
from cnn.data.sources.slices import parse_split
from cnn.data.sources.source import COMMON, DECODING, SOURCES, SliceReader, Source


@dataclass(frozen=True)
class _File:
    path: Path
    label: int
    look: Look


class FolderReader(SliceReader):
    """Splits are subfolders of a root; "." is the root itself."""

    def __init__(self, root: Path, data: ConfigDict):
        super().__init__(f"folder {root}", self._open_folder)
        self._root = root
        self._data = data
        self._codec = SIGNALS[data.signal].codec(data)

    def check(self, expression: str, field: str) -> None:
        """Raises `UserError` unless there is such a folder, with a folder for each class in it."""
        base = parse_split(expression, field).base
        if not _class_names(self._root / base):
            there = ", ".join(p.name for p in sorted(self._root.iterdir())[:8] if p.is_dir())
            raise UserError(
                f"{field}: {self._root / base} is not a folder with a folder for each class; "
                f"{self._root} holds {there or 'no folders'}"
            )

    def _open_folder(self, base: str) -> EncodedSplit:
        folder = self._root / base
        names = self._check_classes(folder)
        codec = self._codec
        files = _scan(codec, folder, names, self._data)
        files = _without_broken(files, self._data.broken_files == "skip")
        stored = tuple(map(_common, zip(*(file.look.shape for file in files), strict=True)))

        def fetch(indices: Sequence[int]) -> list[tuple[Any, int, str]]:
            chosen = [files[i] for i in indices]
            return [(codec.payload(file.path), file.label, str(file.path)) for file in chosen]

        return EncodedSplit(
            name=str(folder),
            class_names=names,
            num_examples=len(files),
            form=codec.form(stored, str(folder)),
            fetch=fetch,
            names=[file.path.relative_to(folder).as_posix() for file in files],
        )

    def _check_classes(self, folder: Path) -> tuple[str, ...]:
        """Returns the names of train's class folders, so that labels mean the same everywhere."""
        names = _class_names(folder)
        train = self._root / parse_split(self._data.train_split, "data.train_split").base
        of_train = _class_names(train) or names
        unknown = sorted(set(names) - set(of_train))
        if unknown:
            raise UserError(
                f"{folder / unknown[0]}: there is no class of that name in {train}; "
                "remove the folder or rename it"
            )
        return of_train


def open_folder(data: ConfigDict) -> FolderReader:
    """Opens a root of class folders; raises `UserError` when there is none."""
    root = Path(data.path).expanduser()
    if not data.path or not root.is_dir():
        raise UserError(
            f"data.path: '{data.path}' is not a folder; give the one that holds "
            f"{parse_split(data.train_split, 'data.train_split').base}/<class>/<{data.signal}s>"
        )
    return FolderReader(root, data)


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        return ()
    return tuple(
        sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    )


def _scan(codec: Codec, folder: Path, names: Sequence[str], data: ConfigDict) -> list[_File]:
    """Looks at every file, in an order that mixes the classes.

    The order is that of the SHA-256 of the path from `folder`: slices and shuffles of it are the
    same on every machine, and a new file moves no other.
    """
    found = []
    for label, name in enumerate(names):
        paths = codec.examples(folder / name)
        if not paths and (folder / name).is_dir():
            kind = f"{data.signal}s"
            raise UserError(f"{folder / name}: no {kind} of that class; add some or remove it")
        found += [(path, label) for path in paths]

    def key(entry: tuple[Path, int]) -> bytes:
        return hashlib.sha256(entry[0].relative_to(folder).as_posix().encode()).digest()

    def look(entry: tuple[Path, int]) -> _File:
        return _File(*entry, codec.look_at(entry[0]))

    with ThreadPoolExecutor(data.workers) as pool:
        return list(pool.map(look, sorted(found, key=key)))


def _without_broken(files: list[_File], skip: bool) -> list[_File]:
    broken = [file for file in files if file.look.defect]
    if not broken:
        return files
    sentence = f"{broken[0].path}: {broken[0].look.defect}"
    if not skip:
        raise UserError(
            f"{sentence} ({len(broken)} of {len(files)} files are broken); replace or remove "
            "them, or leave them out with data.broken_files='skip'"
        )
    if len(broken) == len(files):
        raise UserError(f"{sentence}; all {len(files)} files are broken")
    warnings.warn(
        f"{len(broken)} of {len(files)} files are broken and left out; {sentence}", stacklevel=2
    )
    return [file for file in files if not file.look.defect]


def _common(values: Sequence[int]) -> int | None:
    """Returns the one value there is, or None."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


SOURCES.add(
    "folder",
    Source(
        open=open_folder,
        reads=COMMON | DECODING | {"path", "broken_files"},
    ),
)
