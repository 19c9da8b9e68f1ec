"""Examples made from their index: learnable, deterministic, of any size and number."""

from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.order import random_bits
from cnn.data.signals import SIGNALS
from cnn.data.sources.source import COMMON, SOURCES, SliceReader, Source
from cnn.data.split import Crop, Split, Stored, fingerprint_of

_NOISE = 48  # largest deviation of a pixel from its class's pattern


class SyntheticSplit(Split):
    """A coarse pattern of blocks for each class, plus uniform noise for each example.

    Args:
      name: "train" or "test", which have the same patterns and different noise.
      num_examples: number of examples; example i is of class i mod the number of classes.
      shape: of an example.
      num_classes: number of classes.
      stored: what the examples are; 16-bit ones are 256 times as far from 128 as pixels.
    """

    varying = False

    def __init__(
        self,
        name: str,
        num_examples: int,
        shape: tuple[int, ...],
        num_classes: int,
        stored: Stored,
    ):
        self.name = name
        self.dtype = stored.dtype
        self.shape = shape
        self.class_names = tuple(f"class {k}" for k in range(num_classes))
        self.fingerprint = fingerprint_of(name, num_examples, shape, num_classes, stored.name)
        self._num_examples = num_examples
        self._patterns = np.stack([_pattern(k, shape) for k in range(num_classes)])

    def __len__(self) -> int:
        return self._num_examples

    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Makes the chosen examples and labels; see `Split.read`."""
        if crops is not None:
            raise ValueError("examples of one size are cropped on the device")
        labels = (np.asarray(indices) % self.num_classes).astype(np.int32)
        noise = np.stack([self._noise(int(i)) for i in indices])
        values = self._patterns[labels] + noise
        if self.dtype != np.uint8:
            values = (values.astype(self.dtype) - 128) * 256
        return values, labels

    def _noise(self, index: int) -> np.ndarray:
        """Returns uint8 noise in [0, 2 * _NOISE) of one example, from the promised raw bits."""
        size = int(np.prod(self.shape))
        words = random_bits(0, self.name, index).random_raw(-(-size // 8))
        noise = words.view(np.uint8)[:size].astype(np.uint16) * (2 * _NOISE) >> 8
        return noise.astype(np.uint8).reshape(self.shape)


def _pattern(label: int, shape: tuple[int, ...]) -> np.ndarray:
    """Returns uint8, four blocks along each axis, in [0, 255 - 2 * _NOISE] so that noise fits."""
    *sizes, channels = shape
    blocks_shape = (4,) * len(sizes)
    count = int(np.prod(blocks_shape))
    bits = random_bits(0, "synthetic pattern", label).random_raw(count * channels)
    blocks = (bits % (256 - 2 * _NOISE)).astype(np.uint8).reshape(*blocks_shape, channels)
    return blocks[np.ix_(*(np.arange(size) * 4 // size for size in sizes))]


def open_synthetic(data: ConfigDict) -> SliceReader:
    """Opens the synthetic source; raises `UserError` for sizes that cannot be."""
    shape = tuple(data.synthetic_shape)
    stored = SIGNALS[data.signal].stored
    if len(shape) != len(stored.axes) or shape[-1] not in stored.channels:
        raise UserError(
            f"data.synthetic_shape: {shape} is not {stored.sizes} and {stored.allowed} channels"
        )
    counts = dict(zip(("train", "test"), data.synthetic_examples, strict=True))

    def open_part(name: str) -> SyntheticSplit:
        return SyntheticSplit(name, counts[name], shape, data.synthetic_classes, stored)

    return SliceReader("the synthetic source", open_part, ("train", "test"))


SOURCES.add(
    "synthetic",
    Source(
        open=open_synthetic,
        reads=COMMON | {"synthetic_shape", "synthetic_examples", "synthetic_classes"},
        location="",
        named_classes=False,
    ),
)
