"""What the tests of layers and networks share."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}

# Compiling takes longer than running here, so the compiler is told to hurry.
_HURRY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def quick(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function jitted, with little optimisation."""
    return jax.jit(function, compiler_options=_HURRY)


def image(*shape: int, seed: int = 0) -> Array:
    """Returns normal float32 values."""
    return jax.random.normal(jax.random.key(seed), shape)


def moved(params: Any) -> Any:
    """Returns parameters away from the zeros and ones that many start from."""
    return jax.tree.map(lambda p: p + 0.1 * jnp.cos(jnp.arange(p.size)).reshape(p.shape), params)


def score(y: Array) -> Array:
    """Returns a number that depends on every element of y in another way."""
    return jnp.sum(y * jnp.cos(jnp.arange(y.size).reshape(y.shape)))
