"""Images made from their index: learnable, deterministic, of any size and number."""

from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.order import random_bits
from cnn.data.sources.source import COMMON, SOURCES, SliceReader, Source
from cnn.data.split import Crop, Split

_NOISE = 48  # largest deviation of a pixel from its class's pattern


class SyntheticSplit(Split):
    """A coarse pattern of squares for each class, plus uniform noise for each example.

    Args:
      name: "train" or "test", which have the same patterns and different noise.
      num_examples: number of examples; example i is of class i mod the number of classes.
      image_shape: height, width and channels.
      num_classes: number of classes.
    """

    varying = False

    def __init__(
        self, name: str, num_examples: int, image_shape: tuple[int, int, int], num_classes: int
    ):
        self.name = name
        self.image_shape = image_shape
        self.class_names = tuple(f"class {k}" for k in range(num_classes))
        self._num_examples = num_examples
        self._patterns = np.stack([_pattern(k, image_shape) for k in range(num_classes)])

    def __len__(self) -> int:
        return self._num_examples

    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Makes the chosen images and labels; see `Split.read`."""
        if crops is not None:
            raise ValueError("images of one size are cropped on the device")
        labels = (np.asarray(indices) % self.num_classes).astype(np.int32)
        noise = np.stack([self._noise(int(i)) for i in indices])
        return self._patterns[labels] + noise, labels

    def _noise(self, index: int) -> np.ndarray:
        """Returns uint8 noise in [0, 2 * _NOISE) of one example, from the promised raw bits."""
        size = int(np.prod(self.image_shape))
        words = random_bits(0, self.name, index).random_raw(-(-size // 8))
        noise = words.view(np.uint8)[:size].astype(np.uint16) * (2 * _NOISE) >> 8
        return noise.astype(np.uint8).reshape(self.image_shape)


def _pattern(label: int, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns a uint8 pattern of 4 x 4 blocks, in [0, 255 - 2 * _NOISE] so that noise fits."""
    height, width, channels = image_shape
    bits = random_bits(0, "synthetic pattern", label).random_raw(16 * channels)
    blocks = (bits % (256 - 2 * _NOISE)).astype(np.uint8).reshape(4, 4, channels)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    return blocks[rows[:, None], columns[None, :]]


def open_synthetic(data: ConfigDict) -> SliceReader:
    """Opens the synthetic source; raises `UserError` for sizes that cannot be."""
    shape, examples = tuple(data.synthetic_shape), tuple(data.synthetic_examples)
    if len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3):
        raise UserError(
            f"data.synthetic_shape: {shape} is not a height, a width and 1 or 3 channels"
        )
    if len(examples) != 2 or min(examples) < 1:
        raise UserError(
            f"data.synthetic_examples: {examples} is not two positive numbers, for train and test"
        )
    if data.synthetic_classes < 2:
        raise UserError(f"data.synthetic_classes: {data.synthetic_classes} is less than 2")
    counts = dict(zip(("train", "test"), examples, strict=True))

    def open_part(name: str) -> SyntheticSplit:
        return SyntheticSplit(name, counts[name], shape, data.synthetic_classes)

    return SliceReader("the synthetic source", open_part, ("train", "test"))


SOURCES.add(
    "synthetic",
    Source(
        open=open_synthetic,
        reads=COMMON | {"synthetic_shape", "synthetic_examples", "synthetic_classes"},
    ),
)
