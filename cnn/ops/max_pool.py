"""Max pooling with a gradient that is deterministic on every backend."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from cnn.ops.padding import Padding, Size, Window, make_window
from cnn.ops.windows import offsets, put_back, take_offset, unpad


def max_pool(x: Array, window: Size, strides: Size, padding: Padding) -> Array:
    """Maximum of each window of `[B, *spatial, C]` (Riesenhuber & Poggio 1999).

    Constant padding is -inf. On ties the gradient goes to the first maximum in row-major order, as
    in XLA's select-and-scatter, which it matches (bit for bit if windows do not overlap). It is
    computed by slices, comparisons and padding, because select-and-scatter does not compile under
    `--xla_gpu_deterministic_ops=true` and takes 16 times as long on CPU; TPUs use
    select-and-scatter, which moves the fewest bytes there. The gradients of `jnp.max` and
    `jnp.maximum` split ties, which trains differently, as ties of zeros are common after a ReLU.
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
        # A NaN is the maximum although it does not equal itself.
        hit = free & ((element == y) | (element != element))
        free &= ~hit
        parts[offset] = jnp.where(hit, g, 0)
    return unpad(put_back(parts, padded.shape, window), window)


_max_pool.defvjp(_forward, _backward)
