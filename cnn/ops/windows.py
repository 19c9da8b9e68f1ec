"""The elements of all windows as one strided slice per offset: what pooling is computed from."""

import itertools
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.ops.padding import Window
from cnn.ops.precision import working_dtype


def widened(x: Array) -> Array:
    """Returns x in the type in which sums, exponentials and powers are taken: float32 or wider."""
    return x.astype(working_dtype(x))


def elements(x: Array, window: Window, constant: float = 0.0) -> list[Array]:
    """Returns the elements of all windows, row-major: one `[B, *out, C]` for each offset."""
    padded = window.padded(x, constant)
    return [take_offset(padded, window, offset) for offset in offsets(window)]


def inside(x: Array, window: Window) -> np.ndarray | None:
    """Returns which elements are of the input, bool `[offset, 1, *out, 1]`; None where all are."""
    if window.values != "constant" or not any(map(any, window.pads)):
        return None
    real = np.pad(np.ones(x.shape[1:-1], bool), window.pads)
    out = output_shape(real.shape, window)
    seen = [
        real[
            tuple(
                slice(o, o + (n - 1) * s + 1, s)
                for o, n, s in zip(at, out, window.strides, strict=True)
            )
        ]
        for at in offsets(window)
    ]
    return np.stack(seen)[:, None, ..., None]


def output_shape(padded: tuple[int, ...], window: Window) -> tuple[int, ...]:
    """Returns the spatial output sizes for padded spatial input sizes."""
    return tuple(
        (n - k) // s + 1 for n, k, s in zip(padded, window.size, window.strides, strict=True)
    )


def offsets(window: Window) -> Iterator[tuple[int, ...]]:
    """Yields the offsets inside a window in row-major order, which decides ties."""
    return itertools.product(*map(range, window.size))


def take_offset(padded: Array, window: Window, offset: tuple[int, ...]) -> Array:
    """Returns the element at one offset of every window: `[B, *out, C]` of a padded input."""
    out = output_shape(padded.shape[1:-1], window)
    stops = [o + (n - 1) * s + 1 for o, n, s in zip(offset, out, window.strides, strict=True)]
    return jax.lax.slice(
        padded,
        (0, *offset, 0),
        (padded.shape[0], *stops, padded.shape[-1]),
        (1, *window.strides, 1),
    )


def put_back(
    parts: Mapping[tuple[int, ...], Array], padded_shape: tuple[int, ...], window: Window
) -> Array:
    """Adds `[B, *out, C]` by offset up where `take_offset` took them: the transpose of all of it.

    Elements whose places agree modulo the strides are summed densely, and the sums interleaved:
    spreading each offset over the whole input first would be mostly sums of zeros.
    """
    spatial, strides = padded_shape[1:-1], window.strides
    cells = [-(-n // s) for n, s in zip(spatial, strides, strict=True)]
    dtype = next(iter(parts.values())).dtype

    def interleaved(*phase: int) -> Array:
        axis = len(phase)
        if axis == len(strides):
            return dense(phase)
        y = jnp.stack([interleaved(*phase, r) for r in range(strides[axis])], axis + 2)
        return y.reshape(*y.shape[: axis + 1], -1, *y.shape[axis + 3 :])

    def dense(phase: tuple[int, ...]) -> Array:
        total = jnp.zeros((padded_shape[0], *cells, padded_shape[-1]), dtype)
        for offset, values in parts.items():
            if phase == tuple(o % s for o, s in zip(offset, strides, strict=True)):
                starts = [o // s for o, s in zip(offset, strides, strict=True)]
                room = zip(starts, cells, values.shape[1:-1], strict=True)
                pads = [(start, cell - start - n) for start, cell, n in room]
                total += jnp.pad(values, [(0, 0), *pads, (0, 0)])
        return total

    y = interleaved()
    return jax.lax.slice(y, (0,) * y.ndim, padded_shape)


def unpad(padded: Array, window: Window) -> Array:
    """Adds the gradient of a padded input up into that of the input."""
    if window.values == "constant":
        spatial = padded.shape[1:-1]
        starts = [before for before, _ in window.pads]
        stops = [n - after for n, (_, after) in zip(spatial, window.pads, strict=True)]
        return jax.lax.slice(padded, (0, *starts, 0), (padded.shape[0], *stops, padded.shape[-1]))
    spatial = [n - a - b for n, (a, b) in zip(padded.shape[1:-1], window.pads, strict=True)]
    like = jax.ShapeDtypeStruct((padded.shape[0], *spatial, padded.shape[-1]), padded.dtype)
    (x,) = jax.linear_transpose(window.padded, like)(padded)
    return x
