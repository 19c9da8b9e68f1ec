"""Networks by name."""

import flax.linen as nn
from ml_collections import ConfigDict

from cnn.models.plain import Plain


def build(model: ConfigDict, num_classes: int) -> nn.Module:
    """Builds a network."""
    return Plain(model.features or (32, 64, 128), num_classes, None, model.dropout, model.dtype)
