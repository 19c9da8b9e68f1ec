"""Gradients of convolution kernels in the forms that XLA compiles well on CPU.

Both loop over the rows of the output (its first spatial axis): one row's intermediates stay in the
cache, where sums over whole inputs keep a shifted copy of the input for every tap, and XLA's native
form of these gradients is several times slower still. No step mixes images, so that a batch split
over devices meets in the last sum only.
"""

import itertools
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import Array

from cnn.ops.padding import Window
from cnn.ops.precision import widened
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

    A row of the output takes one matrix product per column of the kernel. Its operands are slices
    of the input and of the gradient with the images as the innermost axis, so that windows that
    overlap share their memory and no copy for each tap is made.
    """
    padded, channels, features = window.padded(x), x.shape[-1], g.shape[-1]
    size = tuple(-(-n // d) for n, d in zip(window.size, dilation, strict=True))
    if math.prod(size) == 1:
        seen = take_offset(padded, window, (0,) * len(size)).reshape(-1, channels)
        return _product(seen.T[None], g.reshape(1, -1, features)).reshape(*size, channels, features)
    # One partial sum per device, or every step of the loop would add up over the devices.
    parts = math.gcd(g.shape[0], jax.device_count())
    bands, rows = _images_last(padded, parts), _images_last(g, parts)
    rest = replace(window, size=window.size[1:], strides=window.strides[1:], pads=window.pads[1:])
    columns = list(itertools.product(*map(range, itertools.repeat(0), rest.size, dilation[1:])))

    def add_row(i: Array, total: Array) -> Array:
        band = jax.lax.dynamic_slice_in_dim(bands, i * window.strides[0], window.size[0], axis=0)
        band = jnp.moveaxis(band[:: dilation[0]], 0, 1)
        band = band.reshape(-1, *band.shape[3:])
        row = jax.lax.dynamic_index_in_dim(rows, i, keepdims=False)
        row = jnp.moveaxis(row, 1, -1).reshape(parts, -1, features)
        seen = [take_offset(band, rest, o).reshape(parts, -1, row.shape[1]) for o in columns]
        return total + jnp.stack([_product(part, row) for part in seen])

    zero = widened(jnp.zeros((len(columns), parts, size[0] * channels, features), g.dtype))
    total = jax.lax.fori_loop(0, g.shape[1], add_row, zero).sum(1)
    return jnp.moveaxis(total.reshape(*size[1:], size[0], channels, features), len(size) - 1, 0)


def _images_last(x: Array, parts: int) -> Array:
    """`[B, rows, *spatial, C]` -> `[rows, parts, C, *spatial, B / parts]`."""
    split = x.reshape(parts, -1, *x.shape[1:])
    axes = range(split.ndim)
    return split.transpose(2, 0, axes[-1], *axes[3:-1], 1)


def _row(window: Window, padded: Array, g: Array, i: Array | int) -> tuple[Array, Array]:
    """Returns row i of the output's gradient, and the band of the input that it looked at."""
    band = jax.lax.dynamic_slice_in_dim(padded, i * window.strides[0], window.size[0], axis=1)
    return band, jax.lax.dynamic_slice_in_dim(g, i, 1, axis=1)


def _product(columns: Array, g: Array) -> Array:
    # Half precision is widened first: XLA's CPU runtime has no product of it into float32.
    return jnp.einsum("pkn,pnf->pkf", widened(columns), widened(g))
