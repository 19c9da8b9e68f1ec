"""Max pooling whose gradient is deterministic on every backend, in the form that suits it."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from cnn.ops.padding import Padding, Size, Window, make_window
from cnn.ops.windows import offsets, put_back, take_offset, unpad


def max_pool(x: Array, window: Size, strides: Size, padding: Padding) -> Array:
    """Largest element of each window (Riesenhuber & Poggio 1999), `[B, *spatial, C]`.

    Padding with constants pads with -inf. The gradient goes to the first of equal elements in
    row-major order: the tie rule of XLA's select-and-scatter, so results match it (to the bit
    where windows do not overlap). But it is made of slices, comparisons and padding, where
    select-and-scatter does not compile under `--xla_gpu_deterministic_ops=true` and takes 16 times
    as long on CPU. Only on TPU, where it moves the fewest bytes, is it that. (Gradients of
    `jnp.max` or `jnp.maximum` split ties, which trains differently: after a ReLU ties of zeros are
    common.)
    """
    return _max_pool(make_window(x, window, strides, padding), x)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _max_pool(window: Window, x: Array) -> Array:
    return jax.lax.platform_dependent(
        x, tpu=partial(_native, window), default=partial(_sliced, window)
    )


def _native(window: Window, x: Array) -> Array:
    pads = window.pads
    if window.values != "constant":
        x, pads = window.padded(x), ((0, 0),) * len(pads)
    size, strides = (1, *window.size, 1), (1, *window.strides, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, size, strides, ((0, 0), *pads, (0, 0)))


def _sliced(window: Window, x: Array) -> Array:
    padded = window.padded(x, -jnp.inf)
    slices = (take_offset(padded, window, offset) for offset in offsets(window))
    y = next(slices)
    for element in slices:
        y = jnp.maximum(y, element)
    return y


def _forward(window: Window, x: Array) -> tuple[Array, tuple[Array, Array]]:
    y = _max_pool(window, x)
    return y, (x, y)


def _backward(window: Window, saved: tuple[Array, Array], g: Array) -> tuple[Array]:
    def native(x: Array, y: Array, g: Array) -> Array:
        return jax.vjp(partial(_native, window), x)[1](g)[0]

    return (
        jax.lax.platform_dependent(*saved, g, tpu=native, default=partial(_sliced_back, window)),
    )


def _sliced_back(window: Window, x: Array, y: Array, g: Array) -> Array:
    padded = window.padded(x, -jnp.inf)
    free, parts = jnp.ones(y.shape, bool), {}
    for offset in offsets(window):
        element = take_offset(padded, window, offset)
        # A NaN is unequal to itself and yet the largest.
        hit = free & ((element == y) | (element != element))
        free &= ~hit
        parts[offset] = jnp.where(hit, g, 0)
    return unpad(put_back(parts, padded.shape, window), window)


_max_pool.defvjp(_forward, _backward)
