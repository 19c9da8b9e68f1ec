"""The DenseNet layer, and the transition between its blocks."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cnn.layers.conv import Conv, ConvBlock
from cnn.layers.downsample import Downsample, before_conv, operator_of
from cnn.layers.style import Style

_PREACTIVATED = "norm act conv"


class DenseLayer(nn.Module):
    """Concatenates x and conv3x3(act(norm(conv1x1(act(norm(x)))))) (Huang et al., CVPR 2017).

    The 1x1 convolution has four times as many features as the 3x3 convolution (DenseNet-B).

    Attributes:
      growth: number of channels added.
      style: of the network.
    """

    growth: int
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial, C + growth]`."""
        narrow = ConvBlock(4 * self.growth, 1, self.style, order=_PREACTIVATED, name="conv1")
        grow = ConvBlock(self.growth, 3, self.style, order=_PREACTIVATED, name="conv2")
        return jnp.concatenate([x, grow(narrow(x, train), train)], axis=-1)


class DenseTransition(nn.Module):
    """Norm, activation, 1x1 convolution to half the channels, and an operator (DenseNet-C).

    Huang et al. use 2x2 average pooling. With an `on_conv` operator, the convolution is strided.

    Attributes:
      operator: of the registry.
      style: of the network.
    """

    operator: str
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / 2, C / 2]`."""
        on_conv = operator_of(self.operator).on_conv
        x = self.style.activate(self.style.make_norm("norm")(x, train))
        if on_conv:
            x = before_conv(self, self.operator, x, train)
        strides = 2 if on_conv else 1
        x = Conv(x.shape[-1] // 2, 1, self.style, strides=strides, name="conv")(x)
        if on_conv:
            return x
        return Downsample(self.operator, 2, self.style, name="downsample")(x, train)[0]
