"""Operations on arrays that are constant along some axes, computed once along them.

`np.broadcast_to` gives such axes stride 0, which slicing, transposing and most reshaping preserve.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np


def combined(function: Callable, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Reduces arrays of equal shape by an elementwise function: function(function(a, b), c) ..."""
    shape = arrays[0].shape
    core = _core(shape, arrays, ())
    return np.broadcast_to(reduce(function, [a[core] for a in arrays]), shape)


def reduced(function: np.ufunc, array: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Reduces an array over axes, which are removed."""
    axes = tuple(axis % array.ndim for axis in axes)
    core = _core(array.shape, [array], ())
    shape = [n for i, n in enumerate(array.shape) if i not in axes]
    return np.broadcast_to(function.reduce(array[core], axes), shape)


def concatenated(
    put: Callable[[list[np.ndarray], int], np.ndarray], arrays: Sequence[np.ndarray], axis: int
) -> np.ndarray:
    """Applies `np.concatenate` or `np.stack` along an axis."""
    stacked = put is np.stack
    axis = axis % (arrays[0].ndim + stacked)
    core = _core(arrays[0].shape, arrays, () if stacked else (axis,))
    small = put([a[core] for a in arrays], axis)
    shape = list(arrays[0].shape)
    if stacked:
        shape.insert(axis, len(arrays))
    else:
        shape[axis] = small.shape[axis]
    return np.broadcast_to(small, shape)


def padded(array: np.ndarray, config: Sequence[tuple[int, int, int]], value: float) -> np.ndarray:
    """Pads like XLA, by (before, after, interior) per axis; negative amounts crop."""
    changed = tuple(i for i, sizes in enumerate(config) if tuple(sizes) != (0, 0, 0))
    small = _padded(array[_core(array.shape, [array], changed)], config, value)
    shape = [small.shape[i] if i in changed else n for i, n in enumerate(array.shape)]
    return np.broadcast_to(small, shape)


def _core(
    shape: tuple[int, ...], arrays: Sequence[np.ndarray], whole: Sequence[int]
) -> tuple[slice, ...]:
    """Returns the distinct part of the arrays, with the axes in `whole` complete."""
    return tuple(
        slice(0, 1)
        if i not in whole and n > 1 and all(a.strides[i] == 0 for a in arrays)
        else slice(None)
        for i, n in enumerate(shape)
    )


def _padded(a: np.ndarray, config: Sequence[tuple[int, int, int]], value: float) -> np.ndarray:
    spread = [max((n - 1) * (i + 1) + 1, 0) for n, (_, _, i) in zip(a.shape, config, strict=True)]
    wide = np.full(spread, value, np.float32)
    wide[tuple(slice(None, None, i + 1) for _, _, i in config)] = a
    grown = [(max(low, 0), max(high, 0)) for low, high, _ in config]
    wide = np.pad(wide, grown, constant_values=value)
    cut = [
        slice(max(-low, 0), n - max(-high, 0))
        for n, (low, high, _) in zip(wide.shape, config, strict=True)
    ]
    return wide[tuple(cut)]
