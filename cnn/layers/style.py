"""What all blocks of a network have in common: norm, activation, padding and compute dtype."""

from collections.abc import Callable
from dataclasses import dataclass

import flax.linen as nn
import jax
from jax import Array
from ml_collections import ConfigDict

from cnn.config.errors import UserError, did_you_mean
from cnn.layers.norms import NORMS


@dataclass(frozen=True)
class Style:
    """Settings that every block of a network shares.

    Attributes:
      norm: name in `NORMS`.
      norm_momentum: share of the running statistics kept at each step.
      norm_epsilon: added to variances.
      ghost_batch: examples that share batch statistics; 0 for the whole batch.
      activation: name of a function of `jax.nn`.
      padding: of convolutions and pooling; see `cnn.ops.padding`.
      dtype: of the computation.
    """

    norm: str = "batch"
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    ghost_batch: int = 0
    activation: str = "relu"
    padding: str = "SAME"
    dtype: str = "float32"

    def __post_init__(self):
        NORMS.look_up(self.norm, "model.norm")
        functions = [n for n in dir(jax.nn) if not n.startswith("_") and n.islower()]
        if self.activation not in functions:
            near = did_you_mean(self.activation, functions).split("allowed")[0]
            raise UserError(
                f"model.activation: unknown '{self.activation}'; {near}"
                "allowed: any activation function of jax.nn"
            )

    def make_norm(
        self, name: str, scale_init: Callable[..., Array] = nn.initializers.ones
    ) -> nn.Module:
        """Returns a norm layer, called as `norm(x, train)`."""
        return NORMS[self.norm](self, name=name, scale_init=scale_init)

    def activate(self, x: Array) -> Array:
        """Applies the activation."""
        return getattr(jax.nn, self.activation)(x)


def style_of(model: ConfigDict) -> Style:
    """Reads the shared settings from `config.model`."""
    return Style(**{name: model[name] for name in Style.__dataclass_fields__})
