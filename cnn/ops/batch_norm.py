"""Batch normalisation with an explicit gradient."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array


def batch_norm(
    x: Array, scale: Array, bias: Array, shift: Array, epsilon: float
) -> tuple[Array, Array, Array]:
    """Normalises each channel of each group (Ioffe & Szegedy, ICML 2015).

    (x - mean) / sqrt(var + epsilon) * scale + bias, computed in float32. The backward pass uses the
    paper's closed form and computes both of its sums in one pass over the output gradient; jax's
    own derivative takes twice as many passes. On TPU, mean and variance are also computed in one
    pass, over x - shift, which XLA fuses into the preceding convolution; it is as accurate as two
    passes if `shift` is close to the mean. Other platforms use two passes.

    Args:
      x: `[groups, examples, *spatial, C]`.
      scale: float32 `[C]`.
      bias: float32 `[C]`.
      shift: float32 `[C]`, an estimate of the mean, such as the running mean.
      epsilon: added to the variance.

    Returns:
      The normalised input in its dtype, and the mean and biased variance, float32 `[groups, C]`,
      without gradient.
    """
    y, mean, var = _batch_norm(epsilon, x, scale, bias, jax.lax.stop_gradient(shift))
    return y, jax.lax.stop_gradient(mean), jax.lax.stop_gradient(var)


def _spread(per_group: Array, like: Array) -> Array:
    """Expands `[groups, C]` to broadcast against `[groups, examples, *spatial, C]`."""
    return jnp.expand_dims(per_group, tuple(range(1, like.ndim - 1)))


def _mean(x: Array) -> Array:
    return x.mean(tuple(range(1, x.ndim - 1)))


def _two_passes(x: Array, shift: Array) -> tuple[Array, Array]:
    mean = _mean(x.astype(jnp.float32))
    return mean, _mean(jnp.square(x.astype(jnp.float32) - _spread(mean, x)))


def _one_pass(x: Array, shift: Array) -> tuple[Array, Array]:
    moved = x.astype(jnp.float32) - shift
    mean, square = _mean(moved), _mean(jnp.square(moved))
    return mean + shift, jnp.maximum(square - jnp.square(mean), 0)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _batch_norm(
    epsilon: float, x: Array, scale: Array, bias: Array, shift: Array
) -> tuple[Array, Array, Array]:
    mean, var = jax.lax.platform_dependent(x, shift, tpu=_one_pass, default=_two_passes)
    factor = jax.lax.rsqrt(var + epsilon) * scale
    y = (x.astype(jnp.float32) - _spread(mean, x)) * _spread(factor, x) + bias
    return y.astype(x.dtype), mean, var


def _forward(epsilon: float, x: Array, scale: Array, bias: Array, shift: Array):
    y, mean, var = _batch_norm(epsilon, x, scale, bias, shift)
    return (y, mean, var), (x, scale, mean, var)


def _backward(epsilon: float, saved: tuple[Array, ...], gradients: tuple[Array, ...]):
    (x, scale, mean, var), g = saved, gradients[0].astype(jnp.float32)
    inverse = jax.lax.rsqrt(var + epsilon)
    normal = (x.astype(jnp.float32) - _spread(mean, x)) * _spread(inverse, x)
    mean_g, mean_gn = _mean(g), _mean(g * normal)
    dx = (g - _spread(mean_g, x) - normal * _spread(mean_gn, x)) * _spread(inverse * scale, x)
    count = x.size // mean.size
    dscale, dbias = (count * each.sum(0) for each in (mean_gn, mean_g))
    return dx.astype(x.dtype), dscale, dbias, jnp.zeros_like(scale)


_batch_norm.defvjp(_forward, _backward)
