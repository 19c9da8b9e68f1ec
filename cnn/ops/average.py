"""Average pooling and plain subsampling."""

import math

import jax
from jax import Array

from cnn.ops.padding import Padding, Size, make_pool, make_window
from cnn.ops.precision import widened
from cnn.ops.windows import elements, inside


def avg_pool(
    x: Array, window: Size, strides: Size, padding: Padding, *, count_padding: bool = False
) -> Array:
    """Mean of each window (LeCun et al. 1990), `[B, *spatial, C]`; sums are float32.

    Args:
      x: the input.
      window: elements an axis.
      strides: between windows.
      padding: see `make_window`.
      count_padding: divide by the whole window at the borders too, as PyTorch and flax do unless
        told otherwise; without it by the elements of the input in the window, as TensorFlow does.
    """
    w = make_pool(x, window, strides, padding)
    total = sum(elements(widened(x), w))
    real = None if count_padding else inside(x, w)
    count = math.prod(w.size) if real is None else real.sum(0)
    return (total / count).astype(x.dtype)


def subsample(x: Array, strides: Size) -> Array:
    """Every stride-th element from the first on, the inputs of a strided 1x1 convolution."""
    w = make_window(x, 1, strides, "VALID")
    return jax.lax.slice(x, (0,) * x.ndim, x.shape, (1, *w.strides, 1))
