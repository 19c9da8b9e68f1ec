"""Pooling between maximum and average, and trees of learned filters (Lee, Gallagher & Tu, 2016).

C.-Y. Lee, P. Gallagher, Z. Tu: Generalizing Pooling Functions in Convolutional Neural Networks:
Mixed, Gated, and Tree. AISTATS 2016. Filters and gates look at one channel at a time; they are
`[*window]` where all channels share them, as published, or `[*window, C]`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError
from cnn.ops.average import avg_pool
from cnn.ops.convolution import depthwise_conv
from cnn.ops.max_pool import max_pool
from cnn.ops.padding import Padding, Size
from cnn.ops.precision import widened


def mixed_pool(
    x: Array, window: Size, strides: Size, padding: Padding, *, share: float | Array
) -> Array:
    """y = a max + (1 - a) avg, `[B, *spatial, C]`, with `share` a.

    One number for the network or layer, or one a channel; learned from 1/2 in the paper and free to
    leave [0, 1]. The average is of the elements inside the input.

    "Mixed pooling" of Yu et al., RSKT 2014, is another operator, which draws a from {0, 1} at
    random while it trains.
    """
    wide = widened(x)
    largest = max_pool(wide, window, strides, padding)
    mean = avg_pool(wide, window, strides, padding)
    return (share * largest + (1 - share) * mean).astype(x.dtype)


def gated_pool(x: Array, gate: Array, strides: Size, padding: Padding) -> Array:
    """`mixed_pool` whose share depends on what is in the window: a = sigmoid(sum gate_i x_i).

    Windows, strides and padding are the gate's: it sees zeros where the maximum sees nothing.
    Implementations that let a dense convolution make a mix the channels, which is C^2 parameters
    where the paper has one filter a layer.

    Args:
      x: the input `[B, *spatial, C]`.
      gate: `[*window]` or `[*window, C]`.
      strides: between windows.
      padding: see `make_window`.
    """
    window = gate.shape[: x.ndim - 2]
    share = jax.nn.sigmoid(_filtered(x, gate, strides, padding))
    return mixed_pool(x, window, strides, padding, share=share)


def tree_pool(
    x: Array, leaves: Sequence[Array], gates: Sequence[Array], strides: Size, padding: Padding
) -> Array:
    """A binary tree of filters: leaves filter the window, gates choose between their two subtrees.

    Leaf: sum leaf_i x_i. Inner node: g left + (1 - g) right, g = sigmoid(sum gate_i x_i). Two
    levels of 3x3 filters are the paper's 27 parameters a layer; its tree + max-average network has
    a tree at the first pooling and `gated_pool` at the others. Without nonlinearity in the leaves a
    constant tree is a depthwise strided convolution: only the gates make it more.

    Args:
      x: the input `[B, *spatial, C]`.
      leaves: 2^d filters from left to right, `[*window]` or `[*window, C]` each.
      gates: 2^d - 1 of the same form: those above pairs of leaves from left to right, then those
        above pairs of these, the root last.
      strides: between windows.
      padding: see `make_window`.

    Raises:
      UserError: the numbers do not make a binary tree.
    """
    if len(leaves) & (len(leaves) - 1) or not leaves or len(gates) != len(leaves) - 1:
        raise UserError(
            f"tree: {len(leaves)} leaves and {len(gates)} gates do not form a binary tree; "
            "use 2, 4 or 8 leaves and one gate fewer"
        )
    level = [_filtered(x, leaf, strides, padding) for leaf in leaves]
    shares = (jax.nn.sigmoid(_filtered(x, gate, strides, padding)) for gate in gates)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [
            share * left + (1 - share) * right
            for (left, right), share in zip(pairs, shares, strict=False)
        ]
    return level[0].astype(x.dtype)


def _filtered(x: Array, kernel: Array, strides: Size, padding: Padding) -> Array:
    if kernel.ndim == x.ndim - 2:
        kernel = kernel[..., None]
    kernel = jnp.broadcast_to(widened(kernel), (*kernel.shape[:-1], x.shape[-1]))
    return depthwise_conv(widened(x), kernel, strides, padding)
