"""One split of a data set: random access to decoded images and labels."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from cnn.config.errors import UserError

# Given the stored height and width of an image: top, left, height and width of the part to keep.
Crop = Callable[[int, int], tuple[int, int, int, int]]


class Split(ABC):
    """Random access to one split; `read` may be called from many threads at once."""

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]  # height, width and channels of what `read` returns
    varying: bool  # stored images differ in size, so a random crop is taken while decoding

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns uint8 images `[n, H, W, C]` and int32 labels `[n]`.

        Args:
          indices: `[n]`, each in [0, len(self)).
          crops: one for each image, applied before resizing to `image_shape`; only for `varying`
            splits. None keeps the centre.
        """


class ArraySplit(Split):
    """Images and labels in memory.

    Args:
      images: uint8 `[N, H, W, C]` or `[N, H, W]`.
      labels: integers `[N]`, each in [0, len(class_names)).
      class_names: one for each class.
      name: what messages call the split.

    Raises:
      UserError: shapes, types or labels do not fit.
    """

    varying = False

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str],
        name: str = "arrays",
    ):
        images, labels = np.asarray(images), np.asarray(labels)
        check_arrays(images, labels, len(class_names), name)
        self.name = name
        self.class_names = tuple(class_names)
        self._images = images if images.ndim == 4 else images[..., None]
        self._labels = labels.astype(np.int32)
        self.image_shape = tuple(self._images.shape[1:])

    def __len__(self) -> int:
        return len(self._labels)

    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns copies of the chosen images and labels; see `Split.read`."""
        if crops is not None:
            raise ValueError("images of one size are cropped on the device")
        return self._images[indices], self._labels[indices]


class Subset(Split):
    """Some examples of another split, in a fixed order."""

    def __init__(self, split: Split, indices: np.ndarray, name: str):
        self.name = name
        self.class_names = split.class_names
        self.image_shape = split.image_shape
        self.varying = split.varying
        self._split = split
        self._indices = np.asarray(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the chosen images and labels; see `Split.read`."""
        return self._split.read(self._indices[indices], crops)


def check_arrays(images: np.ndarray, labels: np.ndarray, num_classes: int, name: str) -> None:
    """Raises `UserError` unless the arrays are images and their labels."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise UserError(
            f"{name}: images are {images.dtype} {list(images.shape)}; "
            "give uint8 [N, H, W, C] or [N, H, W] with at least one image"
        )
    if images.ndim == 4 and images.shape[-1] not in (1, 3):
        raise UserError(f"{name}: images have {images.shape[-1]} channels; give 1 or 3")
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{name}: labels are {labels.dtype} {list(labels.shape)}; "
            f"give one integer for each of the {len(images)} images"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise UserError(
            f"{name}: labels run from {labels.min()} to {labels.max()}; "
            f"with {num_classes} classes they are 0 to {num_classes - 1}"
        )
