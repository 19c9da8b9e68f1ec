"""Networks, each built from layers: importing the package fills the registry."""

from cnn.models import plain, resnet
from cnn.models.registry import MODELS, Network, build, check_read, resolve

__all__ = ["MODELS", "Network", "build", "check_read", "plain", "resnet", "resolve"]
