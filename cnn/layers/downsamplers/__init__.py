"""The entries of the registry, a module for each family. Importing the package registers them."""

from cnn.layers.downsamplers import convolutional, pooling

__all__ = ["convolutional", "pooling"]
