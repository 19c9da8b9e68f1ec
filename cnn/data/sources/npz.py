"""Arrays in one NumPy file: `train_image`, `train_label`, ... (or `train_sound`, ...)."""

import zipfile
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.signals import SIGNALS
from cnn.data.sources.slices import parse_split
from cnn.data.sources.source import COMMON, SOURCES, SliceReader, Source
from cnn.data.split import ArraySplit


class NpzReader(SliceReader):
    """Reads the arrays of a split when it is opened.

    The classes are those of `class_names` in the file (strings), else 0 to the largest label of
    the train split.
    """

    def __init__(self, path: Path, data: ConfigDict):
        super().__init__(str(path), self._open_arrays)
        self._path = path
        self._stored = SIGNALS[data.signal].stored
        self._train = parse_split(data.train_split, "data.train_split").base
        with self._file() as file:
            self._keys = tuple(file.files)
        suffix = f"_{self._stored.name}"
        found = {key.removesuffix(suffix) for key in self._keys if key.endswith(suffix)}
        self.names = tuple(name for name in found if f"{name}_label" in self._keys)
        if found and not self.names:
            base = self._train if self._train in found else min(found)
            raise UserError(
                f"data.path: {path} has no labels; add '{base}_label', one integer for each of "
                f"'{base}{suffix}'"
            )

    def _file(self) -> np.lib.npyio.NpzFile:
        try:
            return np.load(self._path, allow_pickle=False)
        except (OSError, ValueError, zipfile.BadZipFile):
            raise UserError(f"data.path: {self._path} is not a readable .npz file") from None

    def _array(self, key: str) -> np.ndarray:
        try:
            with self._file() as file:
                return file[key]
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{self._path}: '{key}' cannot be read: {error}") from None

    def _open_arrays(self, base: str) -> ArraySplit:
        name = f"{base} of {self._path}"
        return ArraySplit(
            self._array(f"{base}_{self._stored.name}"),
            self._array(f"{base}_label"),
            self._classes(base),
            name,
            self._stored,
        )

    def _classes(self, base: str) -> tuple[str, ...]:
        if "class_names" in self._keys:
            return tuple(map(str, self._array("class_names")))
        labels = self._array(f"{self._train if self._train in self.names else base}_label")
        if not np.issubdtype(labels.dtype, np.integer) or not labels.size:
            raise UserError(f"{self._path}: labels have to be integers, one for each example")
        return tuple(map(str, range(int(labels.max()) + 1)))


def open_npz(data: ConfigDict) -> NpzReader:
    """Opens a file of arrays; raises `UserError` when it is none."""
    path = Path(data.path).expanduser()
    if not data.path or not path.is_file():
        raise UserError(f"data.path: '{data.path}' is not a file; give the .npz file")
    return NpzReader(path, data)


SOURCES.add("npz", Source(open=open_npz, reads=COMMON | {"path"}))
