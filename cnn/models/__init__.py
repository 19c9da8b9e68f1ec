"""Networks, each built from layers: importing the package fills the registry.

A new network is a module here that adds its entry to `MODELS` and is imported below; or a plugin.
"""

from cnn.models import (
    airbench,
    clips,
    convnext,
    densenet,
    inception,
    mobilenet,
    plain,
    repvgg,
    resnet,
    sound,
)
from cnn.models.registry import COMMON, MODELS, Network, build, resolve

__all__ = [
    "COMMON",
    "MODELS",
    "Network",
    "airbench",
    "build",
    "clips",
    "convnext",
    "densenet",
    "inception",
    "mobilenet",
    "plain",
    "repvgg",
    "resnet",
    "resolve",
    "sound",
]
