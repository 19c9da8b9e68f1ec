"""Downsampling by name: the registry, its cards, and the one layer that applies an entry.

To add an operator: write its function in `cnn/ops`, then an entry in one of the modules of
`cnn/layers/downsamplers`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
from jax import Array

from cnn.config.call import parse_call
from cnn.config.errors import UserError, did_you_mean
from cnn.config.registry import Registry
from cnn.layers.conv import ConvBlock
from cnn.layers.style import Style
from cnn.ops.padding import Size

# (layer, x [B, *spatial, C], train, phase, **options) -> y, or (y, phase) for polyphase operators.
# The layer gives strides and style, makes parameters with `param` and random keys with `make_rng`.
Apply = Callable[..., Any]


@dataclass(frozen=True)
class Card:
    """What one has to know of an operator before trusting a figure made with it.

    Attributes:
      formula: what it computes.
      reference: who published it.
      parameters: learned parameters it adds.
      macs: multiply-accumulates (or comparable operations) it adds.
      pitfalls: known traps, of other implementations too.
    """

    formula: str
    reference: str
    parameters: str = "none"
    macs: str = "none"
    pitfalls: str = "none known"


@dataclass(frozen=True)
class Operator:
    """An entry of the registry.

    Attributes:
      apply: see `Apply`; None where the convolution of the site takes the strides itself.
      card: its documentation.
      changes_resolution: False for the controls that keep it.
      shares_phase: it picks a polyphase component, and can take one that was picked before.
    """

    apply: Apply | None
    card: Card
    changes_resolution: bool = True
    shares_phase: bool = False

    def defaults(self) -> dict[str, Any]:
        """Returns the keyword options and their defaults."""
        if self.apply is None:
            return {}
        found = inspect.signature(self.apply).parameters.values()
        return {p.name: p.default for p in found if p.kind is p.KEYWORD_ONLY}


DOWNSAMPLERS: Registry[Operator] = Registry("operator")


def register(name: str, card: Card, **properties: bool) -> Callable[[Apply], Apply]:
    """Decorator that adds an operator; the function's keyword-only arguments are its options."""

    def add(apply: Apply) -> Apply:
        DOWNSAMPLERS.add(name, Operator(apply, card, **properties))
        return apply

    return add


def parse_operator(
    text: str, field: str, registry: Registry[Any] = DOWNSAMPLERS
) -> tuple[str, dict[str, Any]]:
    """Checks "name(option=value)" against a registry and returns the name and its options.

    Raises:
      UserError: unknown operator or option, with the nearest one.
    """
    name, options = parse_call(text, field)
    defaults = registry.look_up(name, field).defaults()
    for option, value in options.items():
        if option not in defaults:
            near = did_you_mean(option, defaults) if defaults else "it has none"
            raise UserError(f"{field}: '{name}' has no option '{option}'; {near}")
        kind = type(defaults[option])
        if not isinstance(value, (int, float) if kind is float else kind):
            raise UserError(
                f"{field}: {option}={value!r} of '{name}' is not of type {kind.__name__}, "
                f"as {defaults[option]!r} is"
            )
    return name, options


class Downsample(nn.Module):
    """Reduces the resolution of `[B, *spatial, C]` by an operator of the registry.

    Attributes:
      operator: "name" or "name(option=value)".
      strides: how much every spatial axis shrinks.
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
        """
        name, options = parse_operator(self.operator, "downsample")
        apply = DOWNSAMPLERS[name].apply
        if apply is None:
            raise UserError(
                f"model: '{name}' needs a convolution to take its strides, and there is none here; "
                "use another operator, or model.shortcut=projection on a shortcut"
            )
        result = apply(self, x, train, phase, **options)
        return result if isinstance(result, tuple) else (result, None)


class DownsamplingConv(nn.Module):
    """Convolution, norm and activation of a site where the resolution drops, and the operator.

    The operator comes after the activation, at full resolution, where Zhang (ICML 2019) puts it;
    one without a function of its own gives its strides to the convolution.

    Attributes:
      features: of the output.
      window: of the convolution.
      style: of the network.
      operator: of the registry.
      strides: 1 leaves the operator out.
      groups: of the convolution.
    """

    features: int
    window: Size
    style: Style
    operator: str
    strides: int = 2
    groups: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool) -> tuple[Array, Array | None]:
        """Returns `[B, *spatial / strides, features]` and the phase, as `Downsample` does."""
        name, _ = parse_operator(self.operator, "model.downsample")
        on_conv = DOWNSAMPLERS[name].apply is None
        block = ConvBlock(
            self.features,
            self.window,
            self.style,
            strides=self.strides if on_conv else 1,
            groups=self.groups,
            name="block",
        )
        x = block(x, train)
        if on_conv or self.strides == 1:
            return x, None
        return Downsample(self.operator, self.strides, self.style, name="downsample")(x, train)
