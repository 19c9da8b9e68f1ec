"""Squeeze-and-excitation."""

import flax.linen as nn
from jax import Array

from cnn.layers.conv import Conv
from cnn.layers.style import Style, activate


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from the channel means (Hu et al., CVPR 2018).

    y = x gate(W2 act(W1 mean(x))), with biases: 2 C width parameters plus biases.

    Attributes:
      style: of the network.
      width: of the hidden layer.
      activation: of the hidden layer.
      gate: activation of the gate, a sigmoid or a cheaper function.
    """

    style: Style
    width: int
    activation: str = "relu"
    gate: str = "sigmoid"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[B, *spatial, C]`."""
        channels = x.shape[-1]
        y = x.mean(tuple(range(1, x.ndim - 1)), keepdims=True)
        y = Conv(self.width, 1, self.style, use_bias=True, name="squeeze")(y)
        y = activate(self.activation, y)
        y = Conv(channels, 1, self.style, use_bias=True, name="excite")(y)
        return x * activate(self.gate, y)
