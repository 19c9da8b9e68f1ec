"""Depthwise-separable blocks, and the inverted residual made of them."""

import flax.linen as nn
from jax import Array

from cnn.layers.conv import ConvBlock
from cnn.layers.downsample import DownsamplingConv
from cnn.layers.style import Style


class SeparableConvBlock(nn.Module):
    """Depthwise 3x3 block, reduced where strides are 2, then a 1x1 block (MobileNetV1).

    Howard et al. 2017: C (9 + features) parameters instead of 9 C features.

    Attributes:
      features: of the output.
      style: of the network.
      operator: where strides are 2, after the depthwise convolution.
      strides: 2 where the resolution drops.
      activate: False leaves the last activation out.
    """

    features: int
    style: Style
    operator: str = "strided_conv"
    strides: int = 1
    activate: bool = True

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / strides, features]`."""
        channels = x.shape[-1]
        depthwise = DownsamplingConv(
            channels,
            3,
            self.style,
            self.operator,
            strides=self.strides,
            groups=channels,
            name="depthwise",
        )
        x, _ = depthwise(x, train)
        pointwise = ConvBlock(
            self.features, 1, self.style, activate=self.activate, name="pointwise"
        )
        return pointwise(x, train)


class InvertedResidual(nn.Module):
    """Widen by a 1x1, depthwise 3x3, narrow by a 1x1 without activation, and the sum if it fits.

    Sandler et al., MobileNetV2, CVPR 2018.

    Attributes:
      features: of the output.
      style: of the network.
      expansion: width of the middle per input channel; 1 leaves the first convolution out.
      operator: see `SeparableConvBlock`.
      strides: likewise.
    """

    features: int
    style: Style
    expansion: int = 6
    operator: str = "strided_conv"
    strides: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / strides, features]`."""
        y, channels = x, x.shape[-1]
        if self.expansion > 1:
            expand = ConvBlock(channels * self.expansion, 1, self.style, name="expand")
            y = expand(y, train)
        separable = SeparableConvBlock(
            self.features,
            self.style,
            self.operator,
            strides=self.strides,
            activate=False,
            name="separable",
        )
        y = separable(y, train)
        return x + y if self.strides == 1 and channels == self.features else y
