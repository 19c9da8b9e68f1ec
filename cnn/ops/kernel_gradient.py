"""Gradients of convolution kernels in the forms that XLA compiles well on CPU.

Both loop over the rows of the output (its first spatial axis): one row's intermediates stay in the
cache, where sums over whole inputs keep a shifted copy of the input for every tap, and XLA's native
form of these gradients is several times slower still. No step mixes images, so that a batch split
over devices meets in the last sum only.
"""

import itertools
import math

import jax
import jax.numpy as jnp
from jax import Array

from cnn.ops.padding import Window
from cnn.ops.precision import widened, working_dtype
from cnn.ops.windows import offsets, take_offset


def depthwise_kernel_gradient(window: Window, x: Array, g: Array) -> Array:
    """Returns `[*window, C]` for the input `[B, *spatial, C]` and the output's gradient."""
    padded, taps = window.padded(x), list(offsets(window))

    def products(i: Array | int) -> list[Array]:
        band, g_row = _row(window, padded, g, i)
        g_row = widened(g_row)
        return [take_offset(band, window, o) * g_row for o in taps]

    def add_row(i: Array, totals: list[Array]) -> list[Array]:
        return [t + product for t, product in zip(totals, products(i), strict=True)]

    totals = jax.lax.fori_loop(1, g.shape[1], add_row, products(0))
    sums = [total.sum(range(total.ndim - 1)) for total in totals]
    return jnp.stack(sums).reshape(*window.size, -1)


def dense_kernel_gradient(window: Window, dilation: tuple[int, ...], x: Array, g: Array) -> Array:
    """Returns `[*kernel, C, features]` for a window that the dilated kernel spans.

    A row's windows are the rows of a matrix, multiplied with the gradients of that row.
    """
    padded, channels, features = window.padded(x), x.shape[-1], g.shape[-1]
    taps = list(itertools.product(*map(range, itertools.repeat(0), window.size, dilation)))
    if len(taps) == 1:
        seen = take_offset(padded, window, taps[0]).reshape(-1, channels)
        total = _product(seen[None], g.reshape(1, -1, features))
    else:
        # One partial sum a device, or every step of the loop would add up over the devices.
        parts = math.gcd(g.shape[0], jax.device_count())

        def add_row(i: Array, total: Array) -> Array:
            band, g_row = _row(window, padded, g, i)
            columns = jnp.concatenate([take_offset(band, window, o) for o in taps], -1)
            columns = columns.reshape(parts, -1, len(taps) * channels)
            return total + _product(columns, g_row.reshape(parts, -1, features))

        zero = widened(jnp.zeros((parts, len(taps) * channels, features), g.dtype))
        total = jax.lax.fori_loop(0, g.shape[1], add_row, zero)
    size = [-(-n // d) for n, d in zip(window.size, dilation, strict=True)]
    return total.sum(0).reshape(*size, channels, features)


def _row(window: Window, padded: Array, g: Array, i: Array | int) -> tuple[Array, Array]:
    """Returns row i of the output's gradient, and the band of the input that it looked at."""
    band = jax.lax.dynamic_slice_in_dim(padded, i * window.strides[0], window.size[0], axis=1)
    return band, jax.lax.dynamic_slice_in_dim(g, i, 1, axis=1)


def _product(columns: Array, g: Array) -> Array:
    return jnp.einsum("pnk,pnf->pkf", columns, g, preferred_element_type=working_dtype(g))
