"""Max pooling with a gradient that is deterministic on every backend."""

import math
from functools import partial, reduce

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
    return reduce(jnp.maximum, (take_offset(padded, window, o) for o in offsets(window)))


def _winner(window: Window, padded: Array) -> Array:
    """Returns which offset the maximum of each window is at, unsigned `[B, *out, C]`."""
    index = jnp.uint8 if math.prod(window.size) <= 256 else jnp.uint32
    slices = (take_offset(padded, window, offset) for offset in offsets(window))
    y = next(slices)
    winner = jnp.zeros(y.shape, index)
    for number, element in enumerate(slices, 1):
        # A NaN is the maximum although nothing is greater, and of several the first.
        larger = (element > y) | ((element != element) & (y == y))
        y = jnp.where(larger, element, y)
        winner = jnp.where(larger, index(number), winner)
    return winner


def _winner_in_halves(window: Window, padded: Array) -> Array:
    """`_winner`, one half of the longest axis after the other.

    XLA on CPU drops barriers before it fuses, but keeps loops. Fused into the gradient, the winner
    would be found anew for each offset, from elements that are rounded differently each time.
    """
    like = jax.eval_shape(partial(_winner, window), padded)
    axis = max(range(1, padded.ndim), key=lambda a: like.shape[a])
    half = -(-like.shape[axis] // 2)
    sizes, strides = (*window.size, 1), (*window.strides, 1)
    step, length = strides[axis - 1], (half - 1) * strides[axis - 1] + sizes[axis - 1]

    def add(i: Array, winner: Array) -> Array:
        start = i * (like.shape[axis] - half)
        part = jax.lax.dynamic_slice_in_dim(padded, start * step, length, axis)
        return jax.lax.dynamic_update_slice_in_dim(winner, _winner(window, part), start, axis)

    return jax.lax.fori_loop(0, 2, add, jnp.zeros(like.shape, like.dtype))


def _forward(window: Window, x: Array) -> tuple[Array, tuple[Array, Array]]:
    # The winner is kept. Comparing the elements with the maximum in the gradient loses it where XLA
    # computes the elements a second time and rounds them differently.
    winner = jax.lax.platform_dependent(
        window.padded(x, -jnp.inf),
        cpu=partial(_winner_in_halves, window),
        tpu=lambda padded: jnp.zeros_like(jax.eval_shape(partial(_winner, window), padded)),
        default=lambda padded: jax.lax.optimization_barrier(_winner(window, padded)),
    )
    return _max_pool(window, x), (x, winner)


def _backward(window: Window, saved: tuple[Array, Array], g: Array) -> tuple[Array]:
    def native(x: Array, winner: Array, g: Array) -> Array:
        return jax.vjp(partial(_native, window), x)[1](g)[0]

    return (jax.lax.platform_dependent(*saved, g, tpu=native, default=partial(_put_back, window)),)


def _put_back(window: Window, x: Array, winner: Array, g: Array) -> Array:
    parts = {
        offset: jnp.where(winner == winner.dtype.type(number), g, 0)
        for number, offset in enumerate(offsets(window))
    }
    padded = jax.eval_shape(partial(window.padded, constant=-jnp.inf), x)
    return unpad(put_back(parts, padded.shape, window), window)


_max_pool.defvjp(_forward, _backward)
