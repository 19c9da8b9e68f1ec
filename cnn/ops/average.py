"""Average pooling and plain subsampling."""

import math

import jax
import jax.numpy as jnp
from jax import Array

from cnn.ops.padding import Padding, Size, Window, make_window
from cnn.ops.windows import offsets, take_offset


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
    w = make_window(x, window, strides, padding)
    total = _window_sum(x.astype(jnp.float32), w)
    if count_padding or w.values != "constant" or not any(map(any, w.pads)):
        return (total / math.prod(w.size)).astype(x.dtype)
    ones = jnp.ones((1, *x.shape[1:-1], 1), jnp.float32)
    return (total / _window_sum(ones, w)).astype(x.dtype)


def _window_sum(x: Array, window: Window) -> Array:
    padded = window.padded(x)
    return sum(take_offset(padded, window, offset) for offset in offsets(window))


def subsample(x: Array, strides: Size) -> Array:
    """Every stride-th element from the first on: what a strided 1x1 convolution looks at."""
    w = make_window(x, 1, strides, "VALID")
    return jax.lax.slice(x, (0,) * x.ndim, x.shape, (1, *w.strides, 1))
