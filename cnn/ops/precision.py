"""Rounding: the dtype in which operators add up, and a clamp that rounding cannot break."""

import jax.numpy as jnp
from jax import Array


def working_dtype(x: Array) -> jnp.dtype:
    """Returns the dtype of sums and transforms: float32, or float64 for a float64 input."""
    return jnp.promote_types(x.dtype, jnp.float32)


def widened(x: Array) -> Array:
    """Casts x to its working dtype."""
    return x.astype(working_dtype(x))


def clamped(x: Array, least: float) -> Array:
    """Returns max(x, least), with the gradient only where x is larger.

    The gradient of `jnp.maximum` compares x with the result, and is lost where XLA computes x twice
    and rounds it differently.
    """
    return jnp.where(x > least, x, least)
