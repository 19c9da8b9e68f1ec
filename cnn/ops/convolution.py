"""Convolution, dense and depthwise, in the form that suits the platform."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import Array

from cnn.ops.padding import Padding, Size, make_window, per_axis
from cnn.ops.windows import offsets, take_offset

_DIMENSIONS = {
    1: ("NWC", "WIO", "NWC"),
    2: ("NHWC", "HWIO", "NHWC"),
    3: ("NDHWC", "DHWIO", "NDHWC"),
}


def conv(
    x: Array, kernel: Array, strides: Size, padding: Padding, *, dilation: Size = 1, groups: int = 1
) -> Array:
    """Cross-correlation of `[B, *spatial, C]` with a kernel `[*window, C / groups, features]`.

    Args:
      x: the input.
      kernel: of the same dtype.
      strides: between outputs.
      padding: see `make_window`; for a dilated kernel of the window that it spans.
      dilation: distance between the kernel's elements.
      groups: the channels are cut into as many parts, each convolved with its own features.
    """
    ndim = x.ndim - 2
    steps = per_axis(dilation, ndim, "dilation")
    span = tuple((k - 1) * d + 1 for k, d in zip(kernel.shape[:ndim], steps, strict=True))
    window = make_window(x, span, strides, padding)
    if window.values != "constant":
        x, window = window.padded(x), replace(window, pads=((0, 0),) * ndim)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window.strides,
        window.pads,
        rhs_dilation=steps,
        dimension_numbers=_DIMENSIONS[ndim],
        feature_group_count=groups,
    )


def depthwise_conv(x: Array, kernel: Array, strides: Size, padding: Padding) -> Array:
    """Convolves each channel of `[B, *spatial, C]` with its own filter of `[*window, C]`.

    On CPU as shifted multiply-adds, which XLA fuses into one pass; elsewhere as the native grouped
    convolution.
    """
    window = make_window(x, kernel.shape[:-1], strides, padding)

    def shifted(x: Array, kernel: Array) -> Array:
        padded = window.padded(x)
        taps = (take_offset(padded, window, o) * kernel[o] for o in offsets(window))
        return sum(taps, start=jnp.zeros((), x.dtype))

    def native(x: Array, kernel: Array) -> Array:
        grouped = kernel[..., None, :]
        return conv(x, grouped, window.strides, padding, groups=x.shape[-1])

    return jax.lax.platform_dependent(x, kernel, cpu=shifted, default=native)
