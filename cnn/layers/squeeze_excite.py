"""Squeeze-and-excitation."""

import flax.linen as nn
import jax
from jax import Array

from cnn.layers.conv import Conv
from cnn.layers.style import Style


class SqueezeExcite(nn.Module):
    """Scales each channel by what its average says (Hu et al., CVPR 2018).

    y = x sigmoid(W2 relu(W1 mean(x))), with biases; adds 2 C^2 / reduction parameters.

    Attributes:
      style: of the network.
      reduction: C over the width between.
    """

    style: Style
    reduction: int = 16

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[B, *spatial, C]`."""
        channels = x.shape[-1]
        y = x.mean(tuple(range(1, x.ndim - 1)), keepdims=True)
        width = max(channels // self.reduction, 1)
        y = jax.nn.relu(Conv(width, 1, self.style, use_bias=True, name="squeeze")(y))
        return x * jax.nn.sigmoid(Conv(channels, 1, self.style, use_bias=True, name="excite")(y))
