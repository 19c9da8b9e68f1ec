"""Networks, each built from layers: importing the package fills the registry."""

from cnn.models import airbench, clips, convnext, mobilenet, plain, resnet, sound
from cnn.models.registry import COMMON, MODELS, Network, build, check_read, resolve

__all__ = [
    "COMMON",
    "MODELS",
    "Network",
    "airbench",
    "build",
    "check_read",
    "clips",
    "convnext",
    "mobilenet",
    "plain",
    "resnet",
    "resolve",
    "sound",
]
