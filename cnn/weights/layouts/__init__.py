"""Layouts of other libraries' tensors: importing the package fills the registry."""

from cnn.weights.layouts import cifar, keras, timm, torchvision
from cnn.weights.layouts.layout import LAYOUTS, Counterpart, Layout, Leaf

__all__ = [
    "LAYOUTS",
    "Counterpart",
    "Layout",
    "Leaf",
    "cifar",
    "keras",
    "timm",
    "torchvision",
]
