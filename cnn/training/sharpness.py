"""Sharpness-aware minimization: the gradient is taken at parameters moved uphill."""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from cnn.config.fields import Interval
from cnn.config.registry import Registry
from cnn.training.optimizer import decay_mask

# (params, gradient there) -> the params whose gradient makes the update.
Ascent = Callable[[Any, Any], Any]

ASCENTS: Registry[Ascent] = Registry("ascent", "optimizer.ascent")

Radius = Annotated[float, Interval("(0, inf)")]


def make_ascent(text: str) -> Ascent | None:
    """Returns the ascent that the field `optimizer.ascent` names, None for ""."""
    return ASCENTS.bound(text, "optimizer.ascent") if text else None


def _moved(params: Any, direction: Any, radius: Array) -> Any:
    return jax.tree.map(lambda p, d: p + radius * d, params, direction)


@ASCENTS.register("sam")
def _sam(params: Any, gradient: Any, *, rho: Radius = 0.05) -> Any:
    """w + rho g / |g| (Foret et al., ICLR 2021), |g| over all parameters."""
    return _moved(params, gradient, rho / jnp.maximum(optax.tree.norm(gradient), 1e-12))


@ASCENTS.register("asam")
def _asam(params: Any, gradient: Any, *, rho: Radius = 0.5, eta: Radius = 0.01) -> Any:
    """w + rho T^2 g / |T g|, T = |w| + eta of kernels and 1 of the rest (Kwon et al., ICML 2021).

    So the neighbourhood does not depend on the scale of a kernel.
    """
    scale = jax.tree.map(
        lambda p, kernel: jnp.abs(p) + eta if kernel else jnp.ones_like(p),
        params,
        decay_mask(params),
    )
    scaled = jax.tree.map(jnp.multiply, scale, gradient)
    radius = rho / jnp.maximum(optax.tree.norm(scaled), 1e-12)
    return _moved(params, jax.tree.map(jnp.multiply, scale, scaled), radius)
