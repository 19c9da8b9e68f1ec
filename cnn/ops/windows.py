"""Sliding windows as one strided slice per offset within the window, the basis of all pooling."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.ops.padding import Window


def elements(x: Array, window: Window, constant: float = 0.0) -> list[Array]:
    """Returns the elements of all windows: one `[B, *out, C]` per offset, in row-major order."""
    return _take_all(window, window.padded(x, constant))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _take_all(window: Window, padded: Array) -> list[Array]:
    return [take_offset(padded, window, offset) for offset in offsets(window)]


def _take_all_forward(window: Window, padded: Array) -> tuple[list[Array], Array]:
    return _take_all(window, padded), padded


def _take_all_backward(window: Window, padded: Array, parts: list[Array]) -> tuple[Array]:
    return (put_back(dict(zip(offsets(window), parts, strict=True)), padded.shape, window),)


# jax would sum the transposes of the slices, which is several times slower on CPU.
_take_all.defvjp(_take_all_forward, _take_all_backward)


def inside(x: Array, window: Window) -> np.ndarray | None:
    """Returns which elements are not padding, bool `[offset, 1, *out, 1]`; None if all are."""
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
    """Yields the offsets within a window in row-major order, which decides ties."""
    return itertools.product(*map(range, window.size))


def take_offset(padded: Array, window: Window, offset: tuple[int, ...]) -> Array:
    """Returns the element at one offset of every window of a padded input, `[B, *out, C]`."""
    out = output_shape(padded.shape[1:-1], window)
    stops = [o + (n - 1) * s + 1 for o, n, s in zip(offset, out, window.strides, strict=True)]
    return jax.lax.slice(
        padded,
        (0, *offset, 0),
        (padded.shape[0], *stops, padded.shape[-1]),
        (1, *window.strides, 1),
    )


def interleave(dense: Callable[[tuple[int, ...]], Array], strides: tuple[int, ...]) -> Array:
    """Returns y with `y[:, phase::strides] = dense(phase)`, `[B, *cells, C]`, for every phase.

    A phase is the set of positions that are equal modulo the strides. Summing the elements of
    strided windows per phase avoids spreading them over the whole input, which is mostly zeros.
    """

    n = len(strides)
    phases = [dense(phase) for phase in itertools.product(*map(range, strides))]
    batch, *spatial, features = phases[0].shape
    y = jnp.stack(phases).reshape(*strides, *phases[0].shape)
    # [*strides, B, *cells, C] -> [B, cell, stride, cell, stride, ..., C]
    pairs = [place for axis in range(n) for place in (n + 1 + axis, axis)]
    whole = [cell * stride for cell, stride in zip(spatial, strides, strict=True)]
    return y.transpose(n, *pairs, 2 * n + 1).reshape(batch, *whole, features)


def stride_cells(padded_shape: tuple[int, ...], window: Window) -> tuple[int, ...]:
    """Returns the length of each axis of a padded input in strides, rounded up."""
    return tuple(-(-n // s) for n, s in zip(padded_shape[1:-1], window.strides, strict=True))


def by_phase(window: Window, phase: tuple[int, ...]) -> dict[tuple[int, ...], tuple[int, ...]]:
    """Returns the offsets that belong to a phase, each with its number of whole strides."""
    return {
        offset: tuple(o // s for o, s in zip(offset, window.strides, strict=True))
        for offset in offsets(window)
        if phase == tuple(o % s for o, s in zip(offset, window.strides, strict=True))
    }


def put_back(
    parts: Mapping[tuple[int, ...], Array], padded_shape: tuple[int, ...], window: Window
) -> Array:
    """Transpose of `take_offset`: sums `[B, *out, C]` per offset into the padded input's shape."""
    shape = (padded_shape[0], *stride_cells(padded_shape, window), padded_shape[-1])
    dtype = next(iter(parts.values())).dtype

    def dense(phase: tuple[int, ...]) -> Array:
        spread = []
        for offset, starts in by_phase(window, phase).items():
            room = zip(starts, shape[1:-1], parts[offset].shape[1:-1], strict=True)
            pads = [(start, cell - start - n) for start, cell, n in room]
            spread.append(jnp.pad(parts[offset], [(0, 0), *pads, (0, 0)]))
        # Without a zero to start from: XLA keeps `0 + x`, which differs from x if x is -0.
        return sum(spread[1:], spread[0]) if spread else jnp.zeros(shape, dtype)

    y = interleave(dense, window.strides)
    return jax.lax.slice(y, (0,) * y.ndim, padded_shape)


def unpad(padded: Array, window: Window) -> Array:
    """Transpose of `Window.padded`: turns the gradient of the padded input into that of x."""
    if window.values == "constant":
        spatial = padded.shape[1:-1]
        starts = [before for before, _ in window.pads]
        stops = [n - after for n, (_, after) in zip(spatial, window.pads, strict=True)]
        return jax.lax.slice(padded, (0, *starts, 0), (padded.shape[0], *stops, padded.shape[-1]))
    spatial = [n - a - b for n, (a, b) in zip(padded.shape[1:-1], window.pads, strict=True)]
    like = jax.ShapeDtypeStruct((padded.shape[0], *spatial, padded.shape[-1]), padded.dtype)
    (x,) = jax.linear_transpose(window.padded, like)(padded)
    return x
