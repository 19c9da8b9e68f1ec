"""Median pooling."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.ops.padding import Padding, Size, make_pool
from cnn.ops.precision import widened
from cnn.ops.windows import elements, inside


def median_pool(x: Array, window: Size, strides: Size, padding: Padding) -> Array:
    """Median of each window (Tukey 1971), the mean of the middle two for an even count.

    Padding with constants does not count. Found by ranks (an element's rank is the number of those
    before it in sorted order, equal ones in row-major order), so the gradient goes to one or two
    elements and nothing is scattered. A NaN makes its windows NaN. The work is quadratic in the
    number of elements of a window.

    Pitfalls: SciPy's and timm's mirror the border; the lower of the middle two is another operator.
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
