"""Depthwise-separable blocks, and the inverted residual block."""

from dataclasses import dataclass, replace

import flax.linen as nn
from jax import Array

from cnn.layers.conv import ConvBlock
from cnn.layers.downsample import DownsamplingConv
from cnn.layers.squeeze_excite import SqueezeExcite
from cnn.layers.stochastic_depth import StochasticDepth
from cnn.layers.style import Style


def rounded(width: float, divisor: int = 8) -> int:
    """Returns the nearest multiple of 8, but at least 90 % of the width, as in MobileNets."""
    nearest = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * width else nearest


class SeparableConvBlock(nn.Module):
    """Depthwise 3x3 block with an optional reduction, then a 1x1 block (MobileNetV1).

    Howard et al. 2017: C (9 + features) parameters instead of 9 C features.

    Attributes:
      features: number of output channels.
      style: of the network.
      operator: applied after the depthwise convolution where strides are 2.
      strides: 2 where the resolution drops.
      activate: False omits the last activation.
      window: kernel size of the depthwise convolution.
      squeeze_excite: applied between the two.
    """

    features: int
    style: Style
    operator: str = "strided_conv"
    strides: int = 1
    activate: bool = True
    window: int = 3
    squeeze_excite: SqueezeExcite | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / strides, features]`."""
        channels = x.shape[-1]
        depthwise = DownsamplingConv(
            channels,
            self.window,
            self.style,
            self.operator,
            strides=self.strides,
            groups=channels,
            name="depthwise",
        )
        x, _ = depthwise(x, train)
        if self.squeeze_excite:
            x = self.squeeze_excite(x)
        pointwise = ConvBlock(
            self.features, 1, self.style, activate=self.activate, name="pointwise"
        )
        return pointwise(x, train)


@dataclass(frozen=True)
class InvertedForm:
    """The form of an inverted residual block.

    Attributes:
      expansion: hidden features per input channel; 1 omits the first convolution.
      window: kernel size of the depthwise convolution.
      squeeze: squeeze-and-excitation after the depthwise convolution, with a width of a quarter of
        the block's "input" (EfficientNet), or of the "middle", with ReLU and hard sigmoid
        (MobileNetV3); "": none.
      fused: whether one full convolution replaces the first two (EfficientNetV2).
      activation: overrides the style's.
    """

    expansion: float = 6
    window: int = 3
    squeeze: str = ""
    fused: bool = False
    activation: str = ""


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, linear 1x1 projection, and identity shortcut.

    The shortcut is present if shapes match. Sandler et al., MobileNetV2, CVPR 2018; Howard et al.,
    MobileNetV3, ICCV 2019; Tan & Le, EfficientNet, ICML 2019, and EfficientNetV2, ICML 2021.

    Attributes:
      features: number of output channels.
      style: of the network.
      form: of the block.
      operator: see `SeparableConvBlock`.
      strides: likewise.
      drop_rate: of stochastic depth.
    """

    features: int
    style: Style
    form: InvertedForm = InvertedForm()
    operator: str = "strided_conv"
    strides: int = 1
    drop_rate: float = 0.0

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / strides, features]`."""
        channels, form = x.shape[-1], self.form
        style = replace(self.style, activation=form.activation or self.style.activation)
        # Fractional multiples are rounded to multiples of 8, as in the papers' tables.
        middle = channels * form.expansion
        middle = rounded(middle) if middle % channels else int(middle)
        make = self._fused if form.fused else self._separable
        y = make(x, train, style, middle)
        if self.strides > 1 or channels != self.features:
            return y
        return x + StochasticDepth(self.drop_rate)(y, train)

    def _separable(self, x: Array, train: bool, style: Style, middle: int) -> Array:
        squeeze = self._squeeze_excite(x.shape[-1], middle, style)
        if self.form.expansion != 1:
            x = ConvBlock(middle, 1, style, name="expand")(x, train)
        separable = SeparableConvBlock(
            self.features,
            style,
            self.operator,
            strides=self.strides,
            activate=False,
            window=self.form.window,
            squeeze_excite=squeeze,
            name="separable",
        )
        return separable(x, train)

    def _squeeze_excite(self, channels: int, middle: int, style: Style) -> SqueezeExcite | None:
        if not self.form.squeeze:
            return None
        if self.form.squeeze == "input":
            return SqueezeExcite(style, max(channels // 4, 1), style.activation, parent=None)
        return SqueezeExcite(style, rounded(middle / 4), gate="hard_sigmoid", parent=None)

    def _fused(self, x: Array, train: bool, style: Style, middle: int) -> Array:
        narrows = self.form.expansion != 1
        site = DownsamplingConv(
            middle if narrows else self.features,
            self.form.window,
            style,
            self.operator,
            strides=self.strides,
            name="expand",
        )
        x, _ = site(x, train)
        if not narrows:
            return x
        return ConvBlock(self.features, 1, style, activate=False, name="project")(x, train)
