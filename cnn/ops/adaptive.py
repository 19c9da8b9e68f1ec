"""Blurring with a different filter at each position and for each group of channels."""

import jax
import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError
from cnn.ops.padding import Padding, Size, make_window
from cnn.ops.precision import widened
from cnn.ops.windows import elements


def adaptive_blur(
    x: Array, window: Size, strides: Size, padding: Padding, *, logits: Array
) -> Array:
    """Adaptive content-aware low-pass filtering with subsampling (Zou et al., BMVC 2020).

    y = sum_i softmax(logits)_i x_i over each window of x `[B, *spatial, C]`. Equal logits give the
    mean; since the weights are positive, the filter cannot sharpen. Constants are preserved under
    VALID, CIRCULAR and REFLECT padding.

    The paper uses 3x3 windows, reflection padding of 1 on both sides and 8 groups, and computes the
    logits by a convolution of x with a kernel of the window's size and batch normalisation, at
    stride 1, then subsamples them.

    Args:
      x: the input.
      window: elements per axis.
      strides: between windows.
      padding: see `make_window`.
      logits: `[B, *out, groups, elements]`: one filter per output position and group of
        consecutive channels, row-major over the window.

    Raises:
      UserError: the groups do not divide the channels, or the logits have the wrong shape.
    """
    found = make_window(x, window, strides, padding)
    seen = elements(widened(x), found)
    channels = x.shape[-1]
    wanted = (*seen[0].shape[:-1], len(seen))
    if (*logits.shape[:-2], logits.shape[-1]) != wanted or channels % logits.shape[-2]:
        raise UserError(
            f"adaptive_blur: logits {logits.shape} must have the shape (*{wanted[:-1]}, groups, "
            f"{len(seen)}) with groups that divide the {channels} channels"
        )
    # With the window's elements on the first axis, XLA needs one pass over output-shaped arrays.
    weights = jax.nn.softmax(jnp.moveaxis(widened(logits), -1, 0), axis=0)
    grouped = (*wanted[:-1], logits.shape[-2], -1)
    terms = (w[..., None] * e.reshape(grouped) for w, e in zip(weights, seen, strict=True))
    return sum(terms).reshape(seen[0].shape).astype(x.dtype)
