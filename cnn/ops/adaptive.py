"""Blurring with a filter that depends on the position and on a group of channels."""

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
    """Adaptive content-aware low-pass filtering, then subsampling (Zou et al., BMVC 2020).

    y = sum_i softmax(logits)_i x_i over a window. `logits` are `[B, *out, groups, elements]`, for
    each output and each of the groups (8 there) of consecutive channels a filter, row-major over
    the window: there a convolution of x as large as the window, followed by batch norm, at
    stride 1 and then subsampled. Equal logits make the plain mean; a softmax cannot sharpen.

    Theirs is 3x3 with mirrored padding of 1 on both sides (the pads are zeros here unless `padding`
    says REFLECT). Constants are kept with VALID, CIRCULAR and REFLECT.

    Raises:
      UserError: groups that do not divide the channels, or logits of other shape.
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
    # With the window's elements first, everything is one pass over arrays of the output's shape.
    weights = jax.nn.softmax(jnp.moveaxis(widened(logits), -1, 0), axis=0)
    grouped = (*wanted[:-1], logits.shape[-2], -1)
    terms = (w[..., None] * e.reshape(grouped) for w, e in zip(weights, seen, strict=True))
    return sum(terms).reshape(seen[0].shape).astype(x.dtype)
