"""The entries of the registry, a module for each family. Importing the package registers them."""

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
