"""Settings shared by all blocks of a network: norm, activation, padding and compute dtype."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache, partial

import flax.linen as nn
import jax
from jax import Array

from cnn.config.registry import Registry
from cnn.ops.padding import Size, per_axis

NORMS: Registry[Callable[..., nn.Module]] = Registry("norm", "model.norm")
ACTIVATIONS: Registry[Callable[[Array], Array]] = Registry("activation", "model.activation")
# The elementwise functions of jax.nn.
for _name in (
    *("celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "identity"),
    *("leaky_relu", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign"),
    *("softplus", "sparse_plus", "sparse_sigmoid", "squareplus", "swish", "tanh"),
):
    ACTIVATIONS.add(_name, getattr(jax.nn, _name))
# Hendrycks & Gimpel 2016, with the error function; jax.nn.gelu is their tanh approximation.
ACTIVATIONS.add("gelu_exact", partial(jax.nn.gelu, approximate=False))


def activate(name: str, x: Array) -> Array:
    """Applies an activation of the registry, as one step named "activation" of a traced program."""
    return _as_step(ACTIVATIONS[name])(x)


@cache
def _as_step(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    # Cached, so that calls outside of a compiled program compile once.
    def activation(x: Array) -> Array:
        return function(x)

    return jax.jit(activation)


@dataclass(frozen=True)
class Style:
    """Settings that every block of a network shares.

    Attributes:
      norm: name in `NORMS`.
      norm_momentum: decay of the running statistics per step.
      norm_epsilon: added to variances.
      norm_frozen: whether training uses the running statistics without updating them.
      ghost_batch: number of examples that share batch statistics; 0: the whole batch.
      activation: name in `ACTIVATIONS`.
      padding: of convolutions and pooling; see `cnn.ops.padding`.
      dtype: compute dtype.
      zero_scale: whether the scale of a residual branch's last norm is initialised to 0.
      dilation: of every convolution, for all axes or per axis, where strides were replaced.
    """

    norm: str = "batch"
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    norm_frozen: bool = False
    ghost_batch: int = 0
    activation: str = "relu"
    padding: str = "SAME"
    dtype: str = "float32"
    zero_scale: bool = False
    dilation: Size = 1

    def __post_init__(self):
        NORMS.look_up(self.norm, "model.norm")
        ACTIVATIONS.look_up(self.activation, "model.activation")

    def dilated(self, factor: Size) -> "Style":
        """Returns the style of the layers after strides that are replaced by dilation."""
        if isinstance(factor, int):
            return replace(self, dilation=self.dilation * factor)
        now = per_axis(self.dilation, len(factor), "dilation")
        return replace(self, dilation=tuple(a * b for a, b in zip(now, factor, strict=True)))

    def make_norm(
        self, name: str, scale_init: Callable[..., Array] = nn.initializers.ones
    ) -> nn.Module:
        """Returns a norm layer, called as `norm(x, train)`."""
        return NORMS[self.norm](self, name=name, scale_init=scale_init)

    def activate(self, x: Array) -> Array:
        """Applies the activation."""
        return activate(self.activation, x)


STYLE_FIELDS = frozenset(f.name for f in fields(Style)) - {"zero_scale", "dilation"}
