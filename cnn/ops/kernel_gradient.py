"""Gradients of convolution kernels, in forms that XLA compiles well on CPU.

Both loop over the rows of the output (its first spatial axis), so that the intermediates of a row
stay in cache. Sums over whole inputs would hold a shifted copy of the input per tap, and XLA's
native form is several times slower still. No step before the final sum mixes images, so a batch
sharded over devices needs one reduction.
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
    """Returns the gradient `[*window, C]` from x `[B, *spatial, C]` and the output gradient g."""
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
    """Returns the gradient `[*kernel, C, features]`; `window` is the span of the dilated kernel.

    Each output row takes one matrix product per kernel column. The operands are slices of the input
    and of the gradient with the images on the innermost axis, so that overlapping windows share
    memory and no tap needs a copy.
    """
    padded, channels, features = window.padded(x), x.shape[-1], g.shape[-1]
    size = tuple(-(-n // d) for n, d in zip(window.size, dilation, strict=True))
    if math.prod(size) == 1:
        seen = take_offset(padded, window, (0,) * len(size)).reshape(-1, channels)
        return _product(seen.T[None], g.reshape(1, -1, features)).reshape(*size, channels, features)
    # One partial sum per device; otherwise every iteration would reduce over the devices.
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
    """Returns the band of the input that output row i depends on, and row i of the gradient."""
    band = jax.lax.dynamic_slice_in_dim(padded, i * window.strides[0], window.size[0], axis=1)
    return band, jax.lax.dynamic_slice_in_dim(g, i, 1, axis=1)


def _product(columns: Array, g: Array) -> Array:
    # XLA's CPU runtime has no half-precision product that accumulates in float32.
    return jnp.einsum("pkn,pnf->pkf", widened(columns), widened(g))
