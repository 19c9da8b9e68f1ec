"""One split of a data set: random access to decoded images and labels."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cnn.config.errors import UserError

# Given the stored sizes of an example: which part of it to keep. Of an image, from height and
# width: top, left, height and width.
Crop = Callable[..., tuple[int, ...]]

# (seed, step, batch size) -> a crop for each example of the step's batch.
DrawCrops = Callable[[int, int, int], list[Crop]]


@dataclass(frozen=True)
class Stored:
    """How the examples of a kind of signal are kept in memory.

    Attributes:
      name: of one example, as messages call it.
      axes: letters of its axes, channels last.
      sizes: the axes in words, without the channels.
      dtype: of its values.
      channels: how many there can be.
    """

    name: str
    axes: str
    sizes: str
    dtype: np.dtype
    channels: tuple[int, int]

    @property
    def allowed(self) -> str:
        """Numbers of channels in words."""
        return " or ".join(map(str, self.channels))


SOUNDS = Stored("sound", "TC", "a number of samples", np.dtype(np.int16), (1, 2))
CLIPS = Stored("clip", "THWC", "a number of frames, a height, a width", np.dtype(np.uint8), (1, 3))
IMAGES = Stored("image", "HWC", "a height, a width", np.dtype(np.uint8), (1, 3))


class Split(ABC):
    """Random access to one split; `read` may be called from many threads at once.

    Attributes:
      name: what messages call it.
      class_names: one for each class, all different.
      shape: of one example that `read` returns, channels last.
      dtype: likewise.
      names: of the examples' files, where they are files.
      varying: a random part of what is stored can be taken while decoding.
      fingerprint: 16 hexadecimal digits that change with the examples, their labels or their order.
      skipped: path and reason of each file that is left out.
      remarks: sentences on unexpected treatment of examples.
    """

    name: str
    class_names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    names: Sequence[str] | None = None
    varying: bool
    fingerprint: str
    skipped: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def at_size(self, size: int) -> "Split":
        """Returns the split with images decoded to another size.

        Raises:
          UserError: its examples are not decoded to a size.
        """
        raise UserError(
            f"augment.sizes: {self.name} is not resized when it is decoded; use a source "
            "of image files, and data.image_size"
        )

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns examples `[n, *shape]` and int32 labels `[n]`.

        Args:
          indices: `[n]`, each in [0, len(self)).
          crops: one for each example, the part of it to keep; only for `varying` splits. None
            keeps the usual part: the centre, the start.
        """


class ArraySplit(Split):
    """Examples and labels in memory.

    Args:
      examples: `[N, *axes]` of the kind's dtype; a single channel may be left out.
      labels: integers `[N]`, each in [0, len(class_names)).
      class_names: one for each class.
      name: what messages call the split.
      stored: what the examples are.

    Raises:
      UserError: shapes, types or labels do not fit.
    """

    varying = False

    def __init__(
        self,
        examples: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str],
        name: str = "arrays",
        stored: Stored = IMAGES,
    ):
        examples, labels = np.asarray(examples), np.asarray(labels)
        check_arrays(examples, labels, len(class_names), name, stored)
        self.name = name
        self.class_names = tuple(class_names)
        whole = examples.ndim == len(stored.axes) + 1
        self._examples = examples if whole else examples[..., None]
        self._labels = labels.astype(np.int32)
        self.shape = tuple(self._examples.shape[1:])
        self.dtype = stored.dtype

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all examples and labels."""
        return fingerprint_of(self._examples, self._labels)

    def __len__(self) -> int:
        return len(self._labels)

    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns copies of the chosen examples and labels; see `Split.read`."""
        if crops is not None:
            raise ValueError("examples of one size are cropped on the device")
        return self._examples[indices], self._labels[indices]


class Subset(Split):
    """Some examples of another split, in a fixed order."""

    def __init__(self, split: Split, indices: np.ndarray, name: str):
        self.name = name
        self.class_names = split.class_names
        self.shape = split.shape
        self.dtype = split.dtype
        self.varying = split.varying
        self.skipped = split.skipped
        self.remarks = split.remarks
        self._split = split
        self._indices = np.asarray(indices)
        self.names = split.names and [split.names[i] for i in self._indices]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the whole split's fingerprint and of which examples are taken."""
        return fingerprint_of(self._split.fingerprint, self._indices.astype(np.int64))

    def at_size(self, size: int) -> Split:
        """See `Split.at_size`."""
        return Subset(self._split.at_size(size), self._indices, self.name)

    def __len__(self) -> int:
        return len(self._indices)

    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the chosen examples and labels; see `Split.read`."""
        return self._split.read(self._indices[indices], crops)


class Relabelled(Split):
    """Another split with labels that index other class names.

    Args:
      split: the other one.
      class_names: what a network was trained on.
      places: of each class of the split, the one in `class_names`.
    """

    def __init__(self, split: Split, class_names: tuple[str, ...], places: Sequence[int]):
        self.name = split.name
        self.class_names = class_names
        self.shape, self.dtype, self.varying = split.shape, split.dtype, split.varying
        self.names, self.fingerprint = split.names, split.fingerprint
        self.skipped, self.remarks = split.skipped, split.remarks
        self._split = split
        self._labels = np.array(places, np.int32)

    def __len__(self) -> int:
        return len(self._split)

    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the chosen examples and their labels among the other names; see `Split.read`."""
        examples, labels = self._split.read(indices, crops)
        return examples, self._labels[labels]


def fingerprint_of(*parts: Any) -> str:
    """Returns 16 hexadecimal digits that name texts, numbers and arrays."""
    digest = hashlib.sha256()
    for part in parts:
        array = isinstance(part, np.ndarray)
        digest.update(f"{part.dtype.str} {part.shape}".encode() if array else f"{part}\n".encode())
        digest.update(np.ascontiguousarray(part).data if array else b"")
    return digest.hexdigest()[:16]


def check_arrays(
    examples: np.ndarray, labels: np.ndarray, num_classes: int, name: str, stored: Stored
) -> None:
    """Raises `UserError` unless the arrays are examples of the kind and their labels."""
    plural, rank = f"{stored.name}s", len(stored.axes) + 1
    if (
        examples.dtype != stored.dtype
        or examples.ndim not in (rank - 1, rank)
        or 0 in examples.shape
    ):
        axes = ", ".join(("N", *stored.axes))
        raise UserError(
            f"{name}: {plural} are {examples.dtype} {list(examples.shape)}; "
            f"give {stored.dtype} [{axes}] or [{axes[:-3]}] with at least one {stored.name}"
        )
    if examples.ndim == rank and examples.shape[-1] not in stored.channels:
        raise UserError(
            f"{name}: {plural} have {examples.shape[-1]} channels; give {stored.allowed}"
        )
    if labels.shape != examples.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{name}: labels are {labels.dtype} {list(labels.shape)}; "
            f"give one integer per {stored.name} ({len(examples)})"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise UserError(
            f"{name}: labels run from {labels.min()} to {labels.max()}; "
            f"with {num_classes} classes they must be 0 to {num_classes - 1}"
        )
