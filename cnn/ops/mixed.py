"""Mixed, gated and tree pooling.

C.-Y. Lee, P. Gallagher, Z. Tu: Generalizing Pooling Functions in Convolutional Neural Networks:
Mixed, Gated, and Tree. AISTATS 2016. Filters and gates are depthwise: `[*window]` if shared by all
channels, as published, or `[*window, C]`.
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
    """y = a max + (1 - a) avg over each window of `[B, *spatial, C]`, with a = `share`.

    `share` is a number, or one per channel. The paper learns it, starting at 1/2 and without
    constraining it to [0, 1]. The average excludes constant padding.

    The "mixed pooling" of Yu et al. (RSKT 2014) is a different operator, which draws a from {0, 1}
    at random during training.
    """
    wide = widened(x)
    largest = max_pool(wide, window, strides, padding)
    mean = avg_pool(wide, window, strides, padding)
    return (share * largest + (1 - share) * mean).astype(x.dtype)


def gated_pool(x: Array, gate: Array, strides: Size, padding: Padding) -> Array:
    """`mixed_pool` with a share computed from the window: a = sigmoid(sum gate_i x_i).

    The pooling window is that of the gate. Constant padding is zero for the gate and excluded from
    maximum and average. Some implementations compute a by a dense convolution, which mixes channels
    and needs C^2 times the parameters of the paper's single filter per layer.

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
    """Pools with a binary tree of filters whose inner nodes are gates.

    Leaf: sum leaf_i x_i. Inner node: g left + (1 - g) right, g = sigmoid(sum gate_i x_i). The paper
    uses two levels of 3x3 filters, 27 parameters per layer; its tree + max-average network has a
    tree at the first pooling layer and `gated_pool` at the others. The leaves are linear, so with
    constant gates the tree is a depthwise strided convolution.

    Args:
      x: the input `[B, *spatial, C]`.
      leaves: 2^d filters from left to right, each `[*window]` or `[*window, C]`.
      gates: 2^d - 1 filters of the same form, from left to right within a level and from the
        parents of the leaves up to the root.
      strides: between windows.
      padding: see `make_window`.

    Raises:
      UserError: the numbers of leaves and gates do not form a binary tree.
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
