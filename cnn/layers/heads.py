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
    """Decorator that adds (layer, x `[B, *spatial, C]`, train, **options) -> `[B, features]`."""

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
      dropout: rate before the classifier, and before each hidden layer of `flatten`.
      scale: of the logits.
      use_bias: of the classifier.
      norm: whether a norm comes between the pooling and the classifier.
    """

    pooling: str
    num_classes: int
    style: Style
    dropout: float = 0.0
    scale: float = 1.0
    use_bias: bool = True
    norm: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]`."""
        name, options = parse_operator(self.pooling, "model.head", HEADS)
        x = HEADS[name].apply(self, x.astype(jnp.float32), train, **options)
        if self.norm:
            x = self.style.make_norm("norm")(x, train)
        x = self.drop(x, train)
        return nn.Dense(self.num_classes, self.use_bias, name="classifier")(x) * self.scale

    def drop(self, x: Array, train: bool) -> Array:
        """Applies the dropout."""
        return nn.Dropout(self.dropout, deterministic=not train)(x)


@register_head(
    "avg",
    Card(
        formula="y = mean over all positions",
        reference="Lin et al., ICLR 2014",
        pitfalls="invariant to circular shifts only: borders and padding leak the position.",
    ),
)
def _avg(layer: Head, x: Array, train: bool) -> Array:
    return x.mean(tuple(range(1, x.ndim - 1)))


@register_head(
    "max",
    Card(formula="y = maximum over all positions", reference="Oquab et al., CVPR 2015"),
)
def _max(layer: Head, x: Array, train: bool) -> Array:
    return x.max(tuple(range(1, x.ndim - 1)))


@register_head(
    "flatten",
    Card(
        formula="y = all positions and channels, through fully connected hidden layers",
        reference="LeCun et al. 1998; VGG of Simonyan & Zisserman, ICLR 2015",
        parameters="positions * C * hidden[0] + ..., with biases",
        macs="as many as parameters",
        pitfalls="ties the network to one image size.",
    ),
)
def _flatten(layer: Head, x: Array, train: bool, *, hidden: tuple[int, ...] = ()) -> Array:
    x = x.reshape(x.shape[0], -1)
    for i, features in enumerate(hidden, 1):
        # Before the first hidden layer VGG and LeNet drop nothing.
        x = layer.drop(x, train) if i > 1 else x
        x = layer.style.activate(nn.Dense(features, name=f"hidden{i}")(x))
    return x
