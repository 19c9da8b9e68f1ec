"""Operators with random choices once more: float64, what they give in evaluation.

`ORACLES` has the form of `tests.ops.oracles.ORACLES`.
"""

import itertools
from collections.abc import Callable

import numpy as np

from tests.ops.oracles import windows

ORACLES: dict[str, Callable] = {}


def oracle(function: Callable) -> Callable:
    ORACLES[function.__name__] = function
    return function


@oracle
def stochastic_pool(x, window, strides, padding):
    elements = np.maximum(windows(x, window, strides, padding), 0)
    total = elements.sum(-2, keepdims=True)
    probabilities = np.divide(elements, total, out=np.zeros_like(elements), where=total > 0)
    return (probabilities * elements).sum(-2)


@oracle
def s3_pool(x, window, strides, padding):
    z = windows(x, window, 1, padding, -np.inf).max(-2)
    for axis, s in enumerate(np.broadcast_to(strides, z.ndim - 2), start=1):
        parts = [
            np.take(z, range(i, min(i + s, z.shape[axis])), axis).mean(axis)
            for i in range(0, z.shape[axis], s)
        ]
        z = np.stack(parts, axis)
    return z


def graham_bounds(n, m, u):
    """The paper's sequence from its formula in real numbers, from 0 to n."""
    a = n / m
    # A quarter of the smallest distance from an integer keeps floor away from rounding.
    return [
        int(np.floor(a * (i + u) + 0.25 / m) - np.floor(a * u + 0.25 / m)) for i in range(m + 1)
    ]


def max_of_regions(x, bounds, overlapping):
    """Largest elements of the regions between all pairs of neighbouring bounds."""
    x = np.asarray(x, np.float64)
    sizes = [len(b) - 1 for b in bounds]
    y = np.zeros((x.shape[0], *sizes, x.shape[-1]))
    axes = tuple(range(1, x.ndim - 1))
    for position in itertools.product(*map(range, sizes)):
        region = tuple(
            slice(b[i], b[i + 1] + overlapping) for b, i in zip(bounds, position, strict=True)
        )
        y[(slice(None), *position)] = x[(slice(None), *region)].max(axes)
    return y


@oracle
def fractional_max_pool(x, sizes, *, overlapping=True):
    outputs = np.broadcast_to(sizes, x.ndim - 2)
    bounds = []
    for n, m in zip(x.shape[1:-1], outputs, strict=True):
        span = n - 1 if overlapping and n > 1 else n
        bound = graham_bounds(span, int(m), 0.5)
        bounds.append(bound)
    return max_of_regions(x, bounds, overlapping)
