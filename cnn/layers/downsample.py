"""Downsampling by name: the registry, its cards, and the layers that apply an entry.

To add an operator, write its function in `cnn/ops` and an entry in a module of
`cnn/layers/downsamplers`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import flax.linen as nn
from jax import Array

from cnn.config.call import options_of
from cnn.config.errors import UserError
from cnn.config.fields import Field, Interval
from cnn.config.registry import Registry
from cnn.layers.conv import ConvBlock
from cnn.layers.style import Style
from cnn.layers.work import Count
from cnn.ops.padding import Padding, Size, per_axis

# (layer, x [B, *spatial, C], train, phase, **options) -> y, or (y, phase) for polyphase operators.
# The layer provides strides and style, parameters by `param` and random keys by `key`.
Apply = Callable[..., Any]

# Types of options: elements of a window per axis; a number of features or of groups.
WindowSize = Annotated[int, Interval("[1, 32]")]
FeatureCount = Annotated[int, Interval("[1, 65536]")]


@dataclass(frozen=True)
class Card:
    """The documentation needed to interpret results with an operator.

    Attributes:
      formula: what it computes.
      reference: the publication.
      site: where its authors use it, and what it replaces there.
      oracle: names of the functions of `cnn.ops` that it calls, each tested against NumPy.
      parameters: number of learned parameters.
      macs: number of multiply-accumulates or comparable operations.
      pitfalls: known pitfalls, also of other implementations.
    """

    formula: str
    reference: str
    site: str = "n/a"
    oracle: tuple[str, ...] = ()
    parameters: str = "none"
    macs: str = "none"
    pitfalls: str = "none known"


@dataclass(frozen=True)
class Operator:
    """An entry of the registry.

    Attributes:
      apply: see `Apply`; with `on_conv` it is applied before the convolution, None for nothing.
      card: documentation.
      on_conv: whether the site's convolution takes the strides.
      keeps_resolution: whether it ignores the strides, as a control.
      dilates: whether it dilates all later convolutions instead of reducing.
      shares_phase: whether it selects a polyphase component, and can take one selected before.
      stochastic: whether it samples during training, from the stream "dropout".
      cost: operations at a site, see `cnn.layers.work`; None: unknown.
      ndims: supported numbers of spatial axes.
    """

    apply: Apply | None
    card: Card
    on_conv: bool = False
    keeps_resolution: bool = False
    dilates: bool = False
    shares_phase: bool = False
    stochastic: bool = False
    cost: Count | None = None
    ndims: tuple[int, ...] = (1, 2, 3)

    def options(self) -> dict[str, Field]:
        """Returns the keyword options."""
        return {} if self.apply is None else options_of(self.apply)

    def defaults(self) -> dict[str, Any]:
        """Returns the defaults of the keyword options."""
        return {name: option.default for name, option in self.options().items()}


DOWNSAMPLERS: Registry[Operator] = Registry(
    "operator",
    "model.stem_downsample",
    "model.downsample",
    "model.shortcut_downsample",
    "model.temporal_downsample",
    "model.shortcut_temporal_downsample",
)


def register(name: str, card: Card, **properties: Any) -> Callable[[Apply], Apply]:
    """Decorator that adds an operator; the function's keyword-only arguments are its options."""

    def add(apply: Apply) -> Apply:
        DOWNSAMPLERS.add(name, Operator(apply, card, **properties))
        return apply

    return add


def operator_of(text: str) -> Operator:
    """Returns the entry named by the value of a field."""
    return DOWNSAMPLERS[DOWNSAMPLERS.parse(text, "operator")[0]]


def along(strides: Size, elements: int) -> Size:
    """Returns a window of `elements` along the axes that are reduced, and of 1 along the others."""
    if isinstance(strides, int):
        return elements
    return tuple(elements if stride > 1 else 1 for stride in strides)


def on_reduced_axes(x: Array, strides: Size, pool: Callable[[Array, Size], Array]) -> Array:
    """Applies `pool(x, strides)` with the axes that are not reduced folded into the batch.

    For operators that change an axis even at stride 1.

    Args:
      x: `[B, *spatial, C]`.
      strides: of which at least one is above 1.
      pool: receives the reduced spatial axes only.
    """
    steps = per_axis(strides, x.ndim - 2, "strides")
    kept = [axis for axis, step in enumerate(steps, 1) if step == 1]
    if not kept or isinstance(strides, int):
        return pool(x, strides)
    reduced = [axis for axis, step in enumerate(steps, 1) if step > 1]
    order = (0, *kept, *reduced, x.ndim - 1)
    outer = tuple(x.shape[axis] for axis in (0, *kept))
    folded = x.transpose(order).reshape(-1, *(x.shape[axis] for axis in (*reduced, x.ndim - 1)))
    y = pool(folded, tuple(step for step in steps if step > 1))
    return y.reshape(*outer, *y.shape[1:]).transpose([order.index(i) for i in range(x.ndim)])


class Downsample(nn.Module):
    """Reduces the resolution of `[B, *spatial, C]` by an operator of the registry.

    Attributes:
      operator: "name" or "name(option=value)".
      strides: reduction factor of all spatial axes, or one per axis; along an axis of factor 1 in a
        tuple, the operator's windows are 1, so it does not mix elements.
      style: of the network.
    """

    operator: str
    strides: Size
    style: Style

    @nn.compact
    def __call__(
        self, x: Array, train: bool, phase: Array | None = None
    ) -> tuple[Array, Array | None]:
        """Returns the output `[B, *spatial / strides, C]`, and the selected phase or None.

        Args:
          x: the input.
          train: whether statistics are updated and stochastic operators sample.
          phase: a polyphase component selected on another path, for a shortcut to share.

        Raises:
          UserError: the operator does not fit the input, or needs a convolution.
        """
        name, options = DOWNSAMPLERS.parse(self.operator, "operator")
        entry = DOWNSAMPLERS[name]
        site = f"{'/'.join(self.path)}: '{self.operator}'"
        if x.ndim - 2 not in entry.ndims:
            dims = " or ".join(map(str, entry.ndims))
            raise UserError(f"{site} works on {dims} spatial axes, not on {x.ndim - 2}")
        if entry.on_conv:
            raise UserError(
                f"{site} needs a convolution to take its strides, but there is none here; use "
                "another operator, or model.shortcut=projection on a shortcut"
            )
        try:
            result = entry.apply(self, x, train, phase, **options)
        except UserError as error:
            raise UserError(f"{site} on {x.shape[1:-1]}: {error}") from error
        return result if isinstance(result, tuple) else (result, None)

    def along(self, elements: int) -> Size:
        """Returns a window of `elements` along the reduced axes, and of 1 along the others."""
        return along(self.strides, elements)

    def key(self, train: bool) -> Array | None:
        """Returns a random key in training, None in evaluation."""
        return self.make_rng("dropout") if train else None


class DownsamplingConv(nn.Module):
    """Convolution, norm, activation and downsampling operator of a site.

    The operator follows the activation, at full resolution, as in Zhang (ICML 2019). With an
    `on_conv` operator, the convolution is strided instead.

    Attributes:
      features: number of output channels.
      window: kernel size.
      style: of the network.
      operator: of the registry.
      strides: 1 omits the operator.
      groups: of the convolution.
      use_bias: see `ConvBlock`.
      activate: see `ConvBlock`.
      padding: see `ConvBlock`.
      scale_init: see `ConvBlock`.
    """

    features: int
    window: Size
    style: Style
    operator: str
    strides: int = 2
    groups: int = 1
    use_bias: bool | None = None
    activate: bool = True
    padding: Padding | None = None
    scale_init: Callable[..., Array] = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool) -> tuple[Array, Array | None]:
        """Returns `[B, *spatial / strides, features]`, and the selected phase or None."""
        on_conv = operator_of(self.operator).on_conv and self.strides > 1
        if on_conv:
            x = before_conv(self, self.operator, x, train)
        block = ConvBlock(
            self.features,
            self.window,
            self.style,
            strides=self.strides if on_conv else 1,
            groups=self.groups,
            use_bias=self.use_bias,
            activate=self.activate,
            padding=self.padding,
            scale_init=self.scale_init,
            name="block",
        )
        x = block(x, train)
        if on_conv or self.strides == 1:
            return x, None
        return Downsample(self.operator, self.strides, self.style, name="downsample")(x, train)


class BeforeConv(nn.Module):
    """The part of an `on_conv` operator that precedes the strided convolution of its site.

    Attributes:
      operator: of the registry, with an `apply`.
      style: of the network.
      strides: of the convolution.
    """

    operator: str
    style: Style
    strides: Size = 2

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns the input of the site's convolution, at the resolution of `x`."""
        name, options = DOWNSAMPLERS.parse(self.operator, "operator")
        return DOWNSAMPLERS[name].apply(self, x, train, None, **options)

    def along(self, elements: int) -> Size:
        """Returns a window; see `Downsample.along`."""
        return along(self.strides, elements)


def before_conv(layer: nn.Module, text: str, x: Array, train: bool, strides: Size = 2) -> Array:
    """Applies the part of an `on_conv` operator that precedes the strided convolution, if any.

    Args:
      layer: module with a `style`.
      text: the operator, "name" or "name(option=value)".
      x: `[B, *spatial, C]`.
      train: see `Downsample`.
      strides: of the convolution.
    """
    if operator_of(text).apply is None:
        return x
    return BeforeConv(text, layer.style, strides)(x, train)
