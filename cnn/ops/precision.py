"""The dtype in which operators accumulate."""

import jax.numpy as jnp
from jax import Array


def working_dtype(x: Array) -> jnp.dtype:
    """Returns the dtype of sums and transforms: float32, or float64 for a float64 input."""
    return jnp.promote_types(x.dtype, jnp.float32)


def widened(x: Array) -> Array:
    """Casts x to its working dtype."""
    return x.astype(working_dtype(x))
