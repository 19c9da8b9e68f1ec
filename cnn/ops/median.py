"""Median pooling."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.ops.padding import Padding, Size, make_pool
from cnn.ops.precision import widened
from cnn.ops.windows import elements, inside


def median_pool(x: Array, window: Size, strides: Size, padding: Padding) -> Array:
    """Median of each window of `[B, *spatial, C]` (Tukey 1971).

    For an even number of elements it is the mean of the middle two. Constant padding is excluded,
    and a NaN makes every window that contains it NaN. An element's rank, with ties in row-major
    order, decides whether it is selected, so the gradient goes to one or two elements without a
    scatter. The cost is quadratic in the number of elements per window.

    Pitfalls: SciPy and timm reflect the border; other implementations take the lower of the middle
    two, which is a different operator.
    """
    pool = make_pool(x, window, strides, padding)
    # Padding sorts last.
    seen = elements(widened(x), pool, np.inf)
    real = inside(x, pool)
    count = np.asarray(len(seen)) if real is None else real.sum(0)
    low, high = (count - 1) // 2, count // 2
    y = jnp.zeros_like(seen[0])
    for i, element in enumerate(seen):
        others = (e <= element if j < i else e < element for j, e in enumerate(seen) if j != i)
        rank = sum((o.astype(jnp.int32) for o in others), start=jnp.zeros((), jnp.int32))
        share = (0.5 * (rank == low) + 0.5 * (rank == high)).astype(y.dtype)
        y += jnp.where(share > 0, share * element, 0)
    unordered = sum((jnp.isnan(e) for e in seen), start=jnp.zeros((), bool))
    return jnp.where(unordered, jnp.nan, y).astype(x.dtype)
