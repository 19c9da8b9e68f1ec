"""The registry's entries, one module per family. Importing the package registers them."""

from cnn.layers.downsamplers import (
    blurring,
    convolutional,
    learned,
    pooling,
    random,
    rearranging,
    spectral,
)

__all__ = [
    "blurring",
    "convolutional",
    "learned",
    "pooling",
    "random",
    "rearranging",
    "spectral",
]
