"""Global pooling before the classifier, by name."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cnn.config.registry import Registry
from cnn.layers.downsample import Card, Operator, parse_operator
from cnn.layers.style import Style

HEADS: Registry[Operator] = Registry("head")


def register_head(name: str, card: Card) -> Callable[[Any], Any]:
    """Decorator that adds (layer, x `[B, *spatial, C]`, **options) -> `[B, features]`."""

    def add(apply: Callable[..., Array]) -> Callable[..., Array]:
        HEADS.add(name, Operator(apply, card))
        return apply

    return add


class Head(nn.Module):
    """Pools `[B, *spatial, C]` over all positions and classifies.

    Attributes:
      pooling: "name" or "name(option=value)" of the registry.
      num_classes: K.
      style: of the network.
      dropout: rate before the classifier.
    """

    pooling: str
    num_classes: int
    style: Style
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]`."""
        name, options = parse_operator(self.pooling, "model.head", HEADS)
        x = HEADS[name].apply(self, x.astype(jnp.float32), **options)
        x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
        return nn.Dense(self.num_classes, name="classifier")(x)


@register_head(
    "avg",
    Card(
        formula="y = mean over all positions",
        reference="Lin et al., ICLR 2014",
        pitfalls="invariant to circular shifts only: borders and padding leak the position.",
    ),
)
def _avg(layer: Head, x: Array) -> Array:
    return x.mean(tuple(range(1, x.ndim - 1)))


@register_head(
    "max",
    Card(formula="y = maximum over all positions", reference="Oquab et al., CVPR 2015"),
)
def _max(layer: Head, x: Array) -> Array:
    return x.max(tuple(range(1, x.ndim - 1)))
