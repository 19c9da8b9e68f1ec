"""Convolution, and the block that every network is made of: convolution, norm, activation."""

from collections.abc import Callable, Sequence

import flax.linen as nn
from jax import Array

# He et al. (ICCV 2015), fan-out: as the published ResNets and their ports initialise.
he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "truncated_normal")


class ConvBlock(nn.Module):
    """Convolution without bias, norm, activation, on `[B, *spatial, C]`."""

    features: int
    window: Sequence[int]
    strides: int
    padding: str
    norm: Callable[..., nn.Module]
    activation: Callable[[Array], Array]
    dtype: str

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / strides, features]`."""
        x = nn.Conv(
            self.features,
            self.window,
            self.strides,
            padding=self.padding,
            use_bias=False,
            kernel_init=he_normal,
            dtype=self.dtype,
            name="conv",
        )(x)
        return self.activation(self.norm(name="norm")(x, train))
