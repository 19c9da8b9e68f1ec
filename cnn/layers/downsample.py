"""Downsampling by name: the registry, its cards, and the layers that apply an entry.

To add an operator: write its function in `cnn/ops`, then an entry in one of the modules of
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
# The layer gives strides and style, makes parameters with `param` and random keys with `make_rng`.
Apply = Callable[..., Any]

# Options: elements of a window along an axis; features, or groups of them.
WindowSize = Annotated[int, Interval("[1, 32]")]
FeatureCount = Annotated[int, Interval("[1, 65536]")]


@dataclass(frozen=True)
class Card:
    """The documentation of an operator that is needed to interpret results with it.

    Attributes:
      formula: what it computes.
      reference: who published it.
      site: where its authors put it, and what it replaced there.
      oracle: names of the functions of `cnn.ops` it computes with, each tested against NumPy.
      parameters: learned parameters it adds.
      macs: multiply-accumulates (or comparable operations) it adds.
      pitfalls: known traps, of other implementations too.
    """

    formula: str
    reference: str
    site: str = "the last pooling before the classifier"
    oracle: tuple[str, ...] = ()
    parameters: str = "none"
    macs: str = "none"
    pitfalls: str = "none known"


@dataclass(frozen=True)
class Operator:
    """An entry of the registry.

    Attributes:
      apply: see `Apply`; with `on_conv` what comes before the convolution, or None.
      card: its documentation.
      on_conv: the convolution of the site takes the strides.
      keeps_resolution: a control that takes no strides at all.
      dilates: it spreads the windows of all later convolutions instead.
      shares_phase: it picks a polyphase component, and can take one that was picked before.
      stochastic: it draws while training, from the stream "dropout".
      cost: its operations at a site, see `cnn.layers.work`; None: unknown.
      ndims: the numbers of spatial axes it is defined for.
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
        """Returns the keyword options' defaults."""
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
    """Returns the entry that a field's value names."""
    return DOWNSAMPLERS[DOWNSAMPLERS.parse(text, "operator")[0]]


def along(strides: Size, elements: int) -> Size:
    """Returns a window of so many elements along the axes that shrink, and of 1 along others."""
    if isinstance(strides, int):
        return elements
    return tuple(elements if stride > 1 else 1 for stride in strides)


def on_reduced_axes(x: Array, strides: Size, pool: Callable[[Array, Size], Array]) -> Array:
    """Applies `pool(x, strides)` with the axes that do not shrink as part of the batch.

    For operators that change an axis even at strides 1.

    Args:
      x: `[B, *spatial, C]`.
      strides: how much the axes shrink; at least one does.
      pool: takes as many spatial axes as shrink.
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
      strides: how much every spatial axis shrinks, or each of them; the operator's windows are 1
        along an axis of 1 in a list, so that it mixes nothing along it.
      style: of the network.
    """

    operator: str
    strides: Size
    style: Style

    @nn.compact
    def __call__(
        self, x: Array, train: bool, phase: Array | None = None
    ) -> tuple[Array, Array | None]:
        """Returns the output, and the polyphase component that was picked, if one was.

        Args:
          x: the input.
          train: whether statistics are updated and random operators draw.
          phase: a component picked before, for a shortcut to share.

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
        """Returns a window of so many elements along the axes that shrink, and of 1 elsewhere."""
        return along(self.strides, elements)

    def key(self, train: bool) -> Array | None:
        """Returns a key to draw with; None in evaluation."""
        return self.make_rng("dropout") if train else None


class DownsamplingConv(nn.Module):
    """Convolution, norm and activation of a site where the resolution drops, and the operator.

    The operator comes after the activation, at full resolution, where Zhang (ICML 2019) puts it;
    one that is `on_conv` gives its strides to the convolution.

    Attributes:
      features: of the output.
      window: of the convolution.
      style: of the network.
      operator: of the registry.
      strides: 1 leaves the operator out.
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
        """Returns `[B, *spatial / strides, features]` and the phase, as `Downsample` does."""
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
    """The part of an `on_conv` operator before the strided convolution of its site.

    Attributes:
      operator: of the registry, with an `apply`.
      style: of the network.
      strides: that the convolution takes for it.
    """

    operator: str
    style: Style
    strides: Size = 2

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns what the convolution of the site takes, at the resolution of `x`."""
        name, options = DOWNSAMPLERS.parse(self.operator, "operator")
        return DOWNSAMPLERS[name].apply(self, x, train, None, **options)

    def along(self, elements: int) -> Size:
        """Returns a window as `Downsample.along` does."""
        return along(self.strides, elements)


def before_conv(layer: nn.Module, text: str, x: Array, train: bool, strides: Size = 2) -> Array:
    """Applies what an operator that is `on_conv` puts before the strided convolution, if anything.

    Args:
      layer: has `style`.
      text: the operator.
      x: the convolution's input.
      train: see `Downsample`.
      strides: that the convolution takes for it.
    """
    if operator_of(text).apply is None:
        return x
    return BeforeConv(text, layer.style, strides)(x, train)
