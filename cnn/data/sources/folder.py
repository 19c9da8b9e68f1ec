"""Class folders of examples, within one folder per split."""

import contextlib
import gc
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.encoded import EncodedSplit
from cnn.data.files import entries, expanded, holds_splits, is_folder, shown
from cnn.data.signals import SIGNALS, Codec
from cnn.data.sources.file_index import look_at_files
from cnn.data.sources.listed import (
    ListedFile,
    common_shape,
    files_fingerprint,
    in_mixed_order,
    without_broken,
)
from cnn.data.sources.slices import parse_split
from cnn.data.sources.source import COMMON, DECODING, SOURCES, SliceReader, Source

_LISTED = 8  # folders that a message names


class FolderReader(SliceReader):
    """Splits are subfolders of a root; "." is the root itself."""

    def __init__(self, root: Path, data: ConfigDict):
        super().__init__(f"folder {shown(root)}", self._open_folder)
        self._root = root
        self._data = data
        self._codec = SIGNALS[data.signal].codec(data)
        self._filled: set[Path] = set()  # folders known to hold an example of every class

    def check(self, expression: str, field: str) -> None:
        """Raises `UserError` unless there is such a folder, with examples of known classes."""
        base = parse_split(expression, field).base
        folder = self._root / base
        if not _class_names(folder):
            raise UserError(
                f"{field}: {shown(folder)} is not a folder with one folder per class; "
                f"{self._splits_there(field)}"
            )
        if folder in self._filled:
            return
        names = _class_names(folder)
        self._check_classes(folder)
        for name in names:
            if next(self._codec.examples(str(folder / name)), None) is None:
                kind = f"{self._data.signal}s"
                raise UserError(
                    f"{shown(folder / name)}: contains no {kind}; add some or remove the folder"
                )
        self._filled.add(folder)

    def _splits_there(self, field: str) -> str:
        names = _class_names(self._root)
        if not names:
            return f"{shown(self._root)} contains no folders"
        listed = ", ".join(names[:_LISTED])
        return f"{shown(self._root)} has the splits {listed}; --config.{field}=NAME chooses one"

    def _open_folder(self, base: str) -> EncodedSplit:
        folder = self._root / base
        names = self._check_classes(folder)
        with paused_collector():
            found = _look_at_all(self._codec, folder, names, self._data)
        skip = self._data.broken_files == "skip"
        files, skipped = without_broken(found, folder, skip)
        shapes = [file.shape for file in files]
        codec, start = self._codec, os.path.join(folder, "")

        def fetch(indices: Sequence[int]) -> list[tuple[Any, int, str]]:
            # Texts, because a Path of each file would take as long as decoding a small image.
            chosen = [(start + files[i].name, files[i]) for i in indices]
            return [(_read(codec, path, f), f.label, shown(path)) for path, f in chosen]

        return EncodedSplit(
            name=shown(folder),
            class_names=names,
            num_examples=len(files),
            form=codec.form(common_shape(shapes), shown(folder)),
            fetch=fetch,
            fingerprint=files_fingerprint(files, names),
            names=[file.name for file in files],
            skipped=skipped,
            remarks=codec.remarks(shapes),
        )

    def _check_classes(self, folder: Path) -> tuple[str, ...]:
        """Returns the names of train's class folders, so that labels are the same in all splits."""
        names = _class_names(folder)
        train = self._root / parse_split(self._data.train_split, "data.train_split").base
        of_train = _class_names(train) or names
        unknown = sorted(set(names) - set(of_train))
        if unknown:
            raise UserError(
                f"{shown(folder / unknown[0])}: there is no class of that name in {shown(train)}; "
                "remove the folder or rename it"
            )
        if len(of_train) == 1:
            inside = [e.name for e in entries(folder / of_train[0])][:4]
            raise UserError(
                f"data.path: {shown(train)} contains only one folder, '{of_train[0]}' (with "
                f"{', '.join(map(shown, inside)) or 'nothing'} in it), but a classifier needs at "
                "least two classes; give the folder with one folder per class"
            )
        return of_train


def open_folder(data: ConfigDict) -> FolderReader:
    """Opens a root of class folders; raises `UserError` when there is none, or no splits in it."""
    root = expanded(data.path, "data.path").absolute()
    train, test = (parse_split(data[f], f"data.{f}").base for f in ("train_split", "test_split"))
    if not data.path or not root.is_dir():
        raise UserError(
            f"data.path: '{shown(data.path)}' is not a folder; give the one that contains "
            f"{train}/<class>/<{data.signal}s>"
        )
    reader = FolderReader(root, data)
    if not any(map(is_folder, entries(root))) or not holds_splits(root, (train, test)):
        _refuse_flat(reader, root, train, test, data)
    return reader


def _refuse_flat(reader: FolderReader, root: Path, train: str, test: str, data: ConfigDict) -> None:
    """Raises a `UserError` that says how to use class folders without split folders."""
    names = _class_names(root)
    if not names:
        kinds = f"{data.signal}s"
        raise UserError(
            f"data.path: {shown(root)} contains no folders; sort its {kinds} into one folder per "
            f"class, in '{train}' and '{test}' or in one folder that splits are cut from"
        )
    try:
        reader.split(".", "data.path")
        needs = ""
    except UserError as error:
        needs = f"; {error}"
    raise UserError(
        f"data.path: {shown(root)} has the classes {', '.join(names[:4])} and neither a folder "
        f"'{train}' nor '{test}' with class folders; set data.train_split='.[:80%]' and "
        f"data.test_split='.[80%:]'{needs}"
    )


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        return ()
    names = [entry.name for entry in entries(folder) if is_folder(entry)]
    for name in names:
        if shown(name) != name:
            raise UserError(f"{shown(folder / name)}: class names must be UTF-8; rename the folder")
    return tuple(names)


@contextlib.contextmanager
def paused_collector() -> Iterator[None]:
    """Pauses Python's cyclic garbage collector.

    While millions of long-lived objects are created, it would traverse them over and over.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _look_at_all(
    codec: Codec, folder: Path, names: Sequence[str], data: ConfigDict
) -> list[ListedFile]:
    """Inspects every file, in an order that mixes the classes."""
    prefix = len(os.path.join(folder, ""))
    found = [
        (path[prefix:], label)
        for label, name in enumerate(names)
        if (folder / name).is_dir()
        for path in codec.examples(str(folder / name))
    ]
    found = [found[i] for i in in_mixed_order([name for name, _ in found])]
    thorough = data.broken_files == "skip"
    looks = look_at_files(folder, [name for name, _ in found], codec, thorough, data.workers)
    files = []
    for (name, label), look in zip(found, looks, strict=True):
        defect = look.defect or codec.refused(look.shape)
        files.append(ListedFile(name, label, look.shape, sum(look.stamp[:1]), defect))
    return files


def _read(codec: Codec, path: str, file: ListedFile) -> Any:
    try:
        return codec.payload(path, file.shape)
    except OSError as error:
        raise UserError(
            f"{shown(path)}: can no longer be read: {error.strerror or error}"
        ) from error


SOURCES.add(
    "folder",
    Source(
        open=open_folder,
        reads=COMMON | DECODING | {"path", "broken_files"},
    ),
)
