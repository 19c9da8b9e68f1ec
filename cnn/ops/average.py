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
    """Mean of each window of `[B, *spatial, C]`, summed in at least float32 (LeCun et al. 1990).

    Args:
      x: the input.
      window: elements per axis.
      strides: between windows.
      padding: see `make_window`.
      count_padding: divide by the size of the whole window at the borders too, the default of
        PyTorch and flax. Otherwise divide by the number of input elements in the window, as
        TensorFlow does.
    """
    w = make_pool(x, window, strides, padding)
    total = sum(elements(widened(x), w))
    real = None if count_padding else inside(x, w)
    count = math.prod(w.size) if real is None else real.sum(0)
    return (total / count).astype(x.dtype)


def subsample(x: Array, strides: Size) -> Array:
    """Every stride-th element, starting with the first: what a strided 1x1 convolution reads."""
    w = make_window(x, 1, strides, "VALID")
    return jax.lax.slice(x, (0,) * x.ndim, x.shape, (1, *w.strides, 1))
