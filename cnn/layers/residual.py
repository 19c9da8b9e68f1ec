"""Residual blocks: one module for basic and bottleneck, with post- or pre-activation."""

import math
from dataclasses import dataclass

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError
from cnn.layers.conv import Conv, ConvBlock
from cnn.layers.downsample import Downsample, DownsamplingConv, before_conv, operator_of
from cnn.layers.squeeze_excite import SqueezeExcite
from cnn.layers.stochastic_depth import StochasticDepth
from cnn.layers.style import Style

SHORTCUTS = ("pad", "projection")


@dataclass(frozen=True)
class BlockForm:
    """The convolutions of a residual branch.

    Attributes:
      windows: kernel sizes.
      strided: index of the convolution at which the resolution drops.
      expansion: features of the last convolution, as a multiple of the width.
      preactivated: norm and activation come before each convolution (He et al., ECCV 2016).
      squeeze_excite: whether squeeze-and-excitation precedes the sum.
      squeezed: width of a squeeze-and-excitation after every convolution larger than 1x1, as a
        multiple of the block's input channels; 0: none.
      middle: features of the other convolutions, as a multiple of the width.
      groups: number of channel groups of convolutions larger than 1x1.
      group_width: channels per group, instead of `groups`.
    """

    windows: tuple[int, ...]
    strided: int = 0
    expansion: int = 1
    preactivated: bool = False
    squeeze_excite: bool = False
    squeezed: float = 0.0
    middle: int = 1
    groups: int = 1
    group_width: int = 0


# He et al., CVPR 2016, whose bottleneck strides its first 1x1 convolution (V1). BOTTLENECK strides
# the 3x3 ("V1.5", "ResNet-B"), as in the Torch ports and in most networks called ResNet-50.
BASIC = BlockForm((3, 3))
BOTTLENECK_V1 = BlockForm((1, 3, 1), strided=0, expansion=4)
BOTTLENECK = BlockForm((1, 3, 1), strided=1, expansion=4)


@dataclass(frozen=True)
class Sites:
    """The downsampling operators of a residual network.

    Attributes:
      main: on the residual branch, after the activation of its strided convolution.
      shortcut: on the shortcut.
      widening: how the shortcut changes the number of channels: "pad" by zeros (option A of He et
        al., CVPR 2016), "projection" by a 1x1 convolution with norm (option B).
    """

    main: str
    shortcut: str
    widening: str


class Shortcut(nn.Module):
    """The shortcut around a residual branch, with the same reduction and features.

    Attributes:
      features: number of output channels.
      strides: of the branch.
      sites: the operators.
      style: of the network.
      norm: whether a projection has a norm (not in pre-activated networks).
    """

    features: int
    strides: int
    sites: Sites
    style: Style
    norm: bool = True

    @nn.compact
    def __call__(self, x: Array, train: bool, phase: Array | None) -> Array:
        """Returns `[B, *spatial / strides, features]`.

        Raises:
          UserError: `pad` would have to remove channels.
        """
        wider = self.features - x.shape[-1]
        if self.sites.widening == "pad" and wider < 0:
            raise UserError(
                f"model.shortcut: 'pad' only adds channels, but the block turns {x.shape[-1]} into "
                f"{self.features}; use 'projection', or non-decreasing model.features"
            )
        on_conv = self.strides > 1 and operator_of(self.sites.shortcut).on_conv
        if on_conv and self.sites.widening == "projection":
            x = before_conv(self, self.sites.shortcut, x, train)
        elif self.strides > 1:
            down = Downsample(self.sites.shortcut, self.strides, self.style, name="downsample")
            x, _ = down(x, train, phase)
        if self.sites.widening == "pad":
            return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, wider)]) if wider else x
        if not wider and self.strides == 1:
            return x
        strides = self.strides if on_conv else 1
        if self.norm:
            return ConvBlock(
                self.features, 1, self.style, strides=strides, activate=False, name="projection"
            )(x, train)
        return Conv(self.features, 1, self.style, strides=strides, name="projection")(x)


class ResidualBlock(nn.Module):
    """A residual branch of convolutions, and a shortcut around it.

    Attributes:
      width: base number of features, see `BlockForm`.
      form: the convolutions of the branch.
      sites: the operators where strides are 2.
      style: of the network.
      strides: 2 where the resolution drops.
      drop_rate: of stochastic depth.
    """

    width: int
    form: BlockForm
    sites: Sites
    style: Style
    strides: int = 1
    drop_rate: float = 0.0

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / strides, width * expansion]`."""
        features = self.width * self.form.expansion
        if self.form.preactivated:
            y, phase, source = self._preactivated(x, train)
        else:
            (y, phase), source = self._postactivated(x, train), x
        if self.form.squeeze_excite:
            y = SqueezeExcite(self.style, max(features // 16, 1), name="squeeze_excite")(y)
        y = StochasticDepth(self.drop_rate)(y, train)
        around = Shortcut(
            features,
            self.strides,
            self.sites,
            self.style,
            norm=not self.form.preactivated,
            name="shortcut",
        )(source, train, phase)
        self._check_sum(x, y, around)
        return y + around if self.form.preactivated else self.style.activate(y + around)

    def _features(self, i: int) -> int:
        last = i == len(self.form.windows) - 1
        return self.width * (self.form.expansion if last else self.form.middle)

    def _groups(self, i: int) -> int:
        if self.form.windows[i] == 1:
            return 1
        width = self.form.group_width
        # Groups are narrower if `group_width` does not divide the features.
        return (
            self._features(i) // math.gcd(self._features(i), width) if width else self.form.groups
        )

    def _style(self, i: int) -> Style:
        """Returns the style of a convolution, dilated after strides replaced by dilation."""
        dilates = self.strides > 1 and operator_of(self.sites.main).dilates
        return self.style.dilated(self.strides) if dilates and i > self.form.strided else self.style

    def _postactivated(self, x: Array, train: bool) -> tuple[Array, Array | None]:
        phase, last = None, len(self.form.windows) - 1
        squeezed = round(self.form.squeezed * x.shape[-1])
        for i, window in enumerate(self.form.windows):
            zero = i == last and self.style.zero_scale
            conv = DownsamplingConv(
                self._features(i),
                window,
                self._style(i),
                self.sites.main,
                strides=self.strides if i == self.form.strided else 1,
                groups=self._groups(i),
                activate=i < last,
                scale_init=nn.initializers.zeros if zero else nn.initializers.ones,
                name=f"conv{i + 1}",
            )
            x, found = conv(x, train)
            phase = phase if found is None else found
            if self.form.squeezed and window > 1:
                x = SqueezeExcite(self.style, squeezed, name="squeeze_excite")(x)
        return x, phase

    def _preactivated(self, x: Array, train: bool) -> tuple[Array, Array | None, Array]:
        on_conv = self.strides > 1 and operator_of(self.sites.main).on_conv
        features = self.width * self.form.expansion
        phase, source, y = None, x, x
        for i, window in enumerate(self.form.windows):
            y = self.style.activate(self.style.make_norm(f"norm{i + 1}")(y, train))
            if i == 0 and (self.strides > 1 or x.shape[-1] != features):
                source = y if self.sites.widening == "projection" else x
            if self.strides > 1 and not on_conv and i == self.form.strided + 1:
                down = Downsample(self.sites.main, self.strides, self.style, name="downsample")
                y, phase = down(y, train)
            takes = on_conv and i == self.form.strided
            if takes:
                y = before_conv(self, self.sites.main, y, train)
            strides = self.strides if takes else 1
            conv = Conv(
                self._features(i),
                window,
                self._style(i),
                strides=strides,
                groups=self._groups(i),
                name=f"conv{i + 1}",
            )
            y = conv(y)
        return y, phase, source

    def _check_sum(self, x: Array, y: Array, around: Array) -> None:
        if around.shape != y.shape:
            raise UserError(
                f"{'/'.join(self.path)}: the branch turns {x.shape[1:-1]} into {y.shape[1:-1]} by "
                f"model.downsample={self.sites.main}, the shortcut into {around.shape[1:-1]} by "
                f"model.shortcut_downsample={self.sites.shortcut}; use operators with the same "
                "output size, and a model.padding that preserves sizes at stride 1 (not VALID)"
            )
