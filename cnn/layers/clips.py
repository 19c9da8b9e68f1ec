"""Convolutions over clips `[B, T, H, W, C]`, with separate operators to reduce space and time."""

from collections.abc import Iterable
from dataclasses import dataclass

import flax.linen as nn
from jax import Array

from cnn.config.errors import UserError
from cnn.layers.conv import ConvBlock
from cnn.layers.downsample import Downsample, before_conv, operator_of
from cnn.layers.style import Style

# full: one T x S x S convolution. factorised: 1 x S x S, norm, activation, T x 1 x 1, with as many
# parameters as the full one: "(2+1)D" of Tran et al., CVPR 2018. depthwise: depthwise T x S x S,
# then 1 x 1 x 1: the channel-separated block of Tran et al., ICCV 2019. spatial: 1 x S x S, which
# neither mixes nor reduces time.
FORMS = ("full", "factorised", "depthwise", "spatial")

Axes = tuple[int, int, int]
# Polyphase components by the reduction that selected them, for a shortcut to share.
Phases = dict[str, Array | None]


@dataclass(frozen=True)
class Reduction:
    """One operator of a site, with strides along time, height and width."""

    name: str
    operator: str
    strides: Axes


@dataclass(frozen=True)
class ClipSite:
    """The downsampling operators of a site in a video network.

    Attributes:
      space: along height and width.
      time: along time.
    """

    space: str
    time: str

    def reductions(self, time: int, space: int) -> tuple[Reduction, ...]:
        """Returns the reductions for strides along time and space, none where the stride is 1."""
        found = (
            Reduction("downsample", self.space, (1, space, space)),
            Reduction("temporal_downsample", self.time, (time, 1, 1)),
        )
        return tuple(r for r in found if max(r.strides) > 1)

    def after(self, style: Style, time: int, space: int) -> Style:
        """Returns the style of later layers, dilated where an operator replaces its strides."""
        for reduction in self.reductions(time, space):
            if operator_of(reduction.operator).dilates:
                style = style.dilated(reduction.strides)
        return style


def _on_conv(reductions: Iterable[Reduction]) -> Axes:
    """Returns the strides that a site's convolution takes."""
    strides = (1, 1, 1)
    for reduction in reductions:
        if operator_of(reduction.operator).on_conv:
            strides = tuple(a * b for a, b in zip(strides, reduction.strides, strict=True))
    return strides


def _before(layer: nn.Module, reductions: Iterable[Reduction], x: Array, train: bool) -> Array:
    """Applies the operators that come before the convolution which takes their strides."""
    for reduction in reductions:
        if operator_of(reduction.operator).on_conv:
            x = before_conv(layer, reduction.operator, x, train, reduction.strides)
    return x


def _apart(
    style: Style, reductions: Iterable[Reduction], x: Array, train: bool, phases: Phases
) -> tuple[Array, Phases]:
    """Applies the operators that are not `on_conv`, space before time."""
    found = {}
    for reduction in reductions:
        if operator_of(reduction.operator).on_conv:
            continue
        layer = Downsample(reduction.operator, reduction.strides, style, name=reduction.name)
        x, found[reduction.name] = layer(x, train, phases.get(reduction.name))
    return x, found


class ClipConv(nn.Module):
    """Convolutions of one form with norm and activation, and the reductions of their site.

    As in `DownsamplingConv`, an operator follows the activation; with an `on_conv` operator, the
    convolution is strided along its axes.

    Attributes:
      features: number of output channels.
      style: of the network.
      form: one of `FORMS`.
      site: the operators; None without a reduction.
      strides: along time, and along height and width.
      window: kernel size along time, and along height and width.
      middle: features between the two convolutions of the factorised form; 0: those that match the
        full convolution's number of parameters.
      activate: False omits the last activation.
    """

    features: int
    style: Style
    form: str = "full"
    site: ClipSite | None = None
    strides: tuple[int, int] = (1, 1)
    window: tuple[int, int] = (3, 3)
    middle: int = 0
    activate: bool = True

    @nn.compact
    def __call__(self, x: Array, train: bool) -> tuple[Array, Phases]:
        """Returns `[B, T / time, H / space, W / space, features]` and the selected phases."""
        (t, s), channels = self.window, x.shape[-1]
        time, space = (1, 1) if self.site is None else self.strides
        time = 1 if self.form == "spatial" else time
        both = () if self.site is None else self.site.reductions(time, space)
        over_space = tuple(r for r in both if r.name == "downsample")
        over_time = tuple(r for r in both if r.name == "temporal_downsample")
        if self.form == "factorised":
            middle = self.middle or middle_features(channels, self.features, t, s)
            x, first = self._part("space", middle, (1, s, s), over_space, x, train)
            x, second = self._part("time", self.features, (t, 1, 1), over_time, x, train, last=True)
            return x, first | second
        if self.form == "depthwise":
            x, phases = self._part("depthwise", channels, (t, s, s), both, x, train)
            x, _ = self._part("pointwise", self.features, (1, 1, 1), (), x, train, last=True)
            return x, phases
        window = (1 if self.form == "spatial" else t, s, s)
        return self._part("conv", self.features, window, both, x, train, last=True)

    def _part(
        self,
        name: str,
        features: int,
        window: Axes,
        reductions: tuple[Reduction, ...],
        x: Array,
        train: bool,
        last: bool = False,
    ) -> tuple[Array, Phases]:
        x = _before(self, reductions, x, train)
        block = ConvBlock(
            features,
            window,
            self.style,
            strides=_on_conv(reductions),
            groups=features if name == "depthwise" else 1,
            activate=self.activate or not last,
            name=name,
        )
        return _apart(self.style, reductions, block(x, train), train, {})


def middle_features(channels: int, features: int, time: int = 3, space: int = 3) -> int:
    """Returns the features between the convolutions of "(2+1)D" (Tran et al., CVPR 2018, 3.5).

    floor(t d^2 N_in N_out / (d^2 N_in + t N_out)), at least 1, so that together they have at most
    as many parameters as the t x d x d convolution.
    """
    full = time * space**2 * channels * features
    return max(1, full // (space**2 * channels + time * features))


class ClipResidualBlock(nn.Module):
    """Two convolutions of one form with a shortcut around them (Tran et al., CVPR 2018).

    Attributes:
      features: number of output channels.
      style: of the network.
      form: one of `FORMS`.
      main: the operators of the first convolution.
      shortcut: the operators on the shortcut, before its 1x1x1 projection.
      strides: along time, and along height and width.
    """

    features: int
    style: Style
    form: str
    main: ClipSite
    shortcut: ClipSite
    strides: tuple[int, int] = (1, 1)

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, T / time, H / space, W / space, features]`.

        Raises:
          UserError: branch and shortcut have different output sizes.
        """
        # As in torchvision's weights, both convolutions have the middle width of the first.
        shared = dict(
            style=self.style, form=self.form, middle=middle_features(x.shape[-1], self.features)
        )
        y, phases = ClipConv(
            self.features, site=self.main, strides=self.strides, name="conv1", **shared
        )(x, train)
        time, space = self.strides
        shared["style"] = self.main.after(self.style, 1 if self.form == "spatial" else time, space)
        y, _ = ClipConv(self.features, activate=False, name="conv2", **shared)(y, train)
        around = self._around(x, train, phases)
        if around.shape != y.shape:
            raise UserError(
                f"{'/'.join(self.path)}: the branch turns {x.shape[1:-1]} into {y.shape[1:-1]}, "
                f"the shortcut into {around.shape[1:-1]}; use operators with the same output size "
                "for model.downsample and model.shortcut_downsample, and for "
                "model.temporal_downsample and model.shortcut_temporal_downsample, and a "
                "model.padding that preserves sizes"
            )
        return self.style.activate(y + around)

    def _around(self, x: Array, train: bool, phases: Phases) -> Array:
        time, space = self.strides
        time = 1 if self.form == "spatial" else time
        reductions = self.shortcut.reductions(time, space)
        if not reductions and x.shape[-1] == self.features:
            return x
        x, _ = _apart(self.style, reductions, x, train, phases)
        x = _before(self, reductions, x, train)
        strides = _on_conv(reductions)
        return ConvBlock(
            self.features, 1, self.style, strides=strides, activate=False, name="projection"
        )(x, train)
