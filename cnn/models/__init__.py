"""Networks, each built from layers: importing the package fills the registry."""

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
