"""The dtype in which operators add up."""

import jax.numpy as jnp
from jax import Array


def working_dtype(x: Array) -> jnp.dtype:
    """Returns float32, or float64 for a float64 input: what sums and FFTs are made in."""
    return jnp.promote_types(x.dtype, jnp.float32)


def widened(x: Array) -> Array:
    """Returns x in its working dtype."""
    return x.astype(working_dtype(x))
