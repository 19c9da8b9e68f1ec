"""Arrays in one NumPy file: `train_image`, `train_label`, ... (or `train_sound`, ...).

The names of MedMNIST (`train_images`, labels `[N, 1]`) and of Keras (`x_train`, `y_train`) are read
too.
"""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.files import expanded
from cnn.data.signals import SIGNALS
from cnn.data.sources.slices import parse_split
from cnn.data.sources.source import COMMON, SOURCES, SliceReader, Source
from cnn.data.split import ArraySplit

# Pairs of names, of examples and labels: with the kind of the examples and the split's name.
_NAMES = (
    ("{split}_{kind}", "{split}_label"),
    ("{split}_{kind}s", "{split}_labels"),
    ("x_{split}", "y_{split}"),
)


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
        self._pairs = self._found()
        self.names = tuple(self._pairs)
        if not self.names:
            examples, labels = (
                name.format(split=self._train, kind=self._stored.name) for name in _NAMES[0]
            )
            raise UserError(
                f"data.path: {path} contains {', '.join(self._keys[:8]) or 'nothing'}; it needs "
                f"'{examples}' and '{labels}' (integers), or the names of MedMNIST or "
                "Keras"
            )

    def _found(self) -> dict[str, tuple[str, str]]:
        """Returns the names of examples and labels of each split that has both."""
        pairs = {}
        for names in _NAMES:
            examples, labels = (name.replace("{kind}", self._stored.name) for name in names)
            before, after = examples.split("{split}")
            for key in self._keys:
                split = key.removeprefix(before).removesuffix(after)
                pair = examples.format(split=split), labels.format(split=split)
                if split and pair[0] == key and pair[1] in self._keys:
                    pairs.setdefault(split, pair)
        return pairs

    def check(self, expression: str, field: str) -> None:
        """Raises `UserError` unless there is such a part, whose labels are classes of train."""
        super().check(expression, field)
        base = parse_split(expression, field).base
        labels, classes = self._labels(base), len(self._classes(base))
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise UserError(
                f"{base} of {self._path}: labels run from {labels.min()} to {labels.max()}; "
                f"with {classes} classes they are 0 to {classes - 1}"
            )

    def _file(self) -> np.lib.npyio.NpzFile:
        try:
            file = np.load(self._path, allow_pickle=False)
        except Exception:
            file = None
        if not isinstance(file, np.lib.npyio.NpzFile):
            kind = "a single array (.npy); save it with np.savez" if file is not None else ""
            raise UserError(f"data.path: {self._path} is {kind or 'not a readable .npz file'}")
        return file

    def _array(self, key: str) -> np.ndarray:
        try:
            with self._file() as file:
                return np.asarray(file[key])
        except Exception as error:
            # Of zipfile, each way of compression and NumPy: damaged, encrypted, or an array larger
            # than the memory.
            raise UserError(
                f"{self._path}: '{key}' cannot be read: {error}; write the file again"
            ) from error

    def _labels(self, base: str) -> np.ndarray:
        """Returns the labels of a part, integers `[N]`."""
        key = self._pairs[base][1]
        labels = self._array(key)
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise UserError(
                f"{self._path}: '{key}' is {labels.dtype} {list(labels.shape)}; labels must be "
                "integers, one per example"
            )
        return labels

    def _open_arrays(self, base: str) -> ArraySplit:
        return ArraySplit(
            self._array(self._pairs[base][0]),
            self._labels(base),
            self._classes(base),
            f"{base} of {self._path}",
            self._stored,
        )

    def _classes(self, base: str) -> tuple[str, ...]:
        if "class_names" in self._keys:
            names = self._array("class_names")
            if names.ndim != 1:
                raise UserError(
                    f"{self._path}: 'class_names' is {names.dtype} {list(names.shape)}; give one "
                    "string per class"
                )
            return tuple(map(str, names))
        labels = self._labels(self._train if self._train in self.names else base)
        if not labels.size:
            raise UserError(f"{self._path}: the labels are empty")
        distinct, count = len(np.unique(labels)), int(labels.max()) + 1
        if 2 * distinct < count:
            raise UserError(
                f"{self._path}: labels go up to {count - 1}, but only {distinct} of these numbers "
                "occur; number the classes from 0 (np.unique(labels, return_inverse=True)), or add "
                "'class_names'"
            )
        return tuple(map(str, range(count)))


def open_npz(data: ConfigDict) -> NpzReader:
    """Opens a file of arrays; raises `UserError` when it is none."""
    path = expanded(data.path, "data.path")
    if not data.path or not path.is_file():
        raise UserError(f"data.path: '{data.path}' is not a file; give the .npz file")
    return NpzReader(path, data)


SOURCES.add("npz", Source(open=open_npz, reads=COMMON | {"path"}, named_classes=False))
