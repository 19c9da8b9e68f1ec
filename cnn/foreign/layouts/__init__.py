"""Layouts of other libraries' tensors: importing the package fills the registry."""

from cnn.foreign.layouts import cifar, keras, timm, torchvision
from cnn.foreign.layouts.layout import LAYOUTS, Counterpart, Layout, Leaf

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
