"""Convolution, dense and depthwise, in the form that suits the platform."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from cnn.ops.padding import Padding, Size, Window, make_window, per_axis
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
    return _native(window, x, kernel, steps, groups)


def _native(
    window: Window, x: Array, kernel: Array, dilation: tuple[int, ...], groups: int
) -> Array:
    ndim, pads = x.ndim - 2, window.pads
    if window.values != "constant":
        x, pads = window.padded(x), ((0, 0),) * ndim
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window.strides,
        pads,
        rhs_dilation=dilation,
        dimension_numbers=_DIMENSIONS[ndim],
        feature_group_count=groups,
    )


def depthwise_conv(x: Array, kernel: Array, strides: Size, padding: Padding) -> Array:
    """Convolves each channel of `[B, *spatial, C]` with its own filter of `[*window, C]`.

    On CPU, where the native grouped convolution takes 30 times as long, it is a sum of shifted
    products, accumulated in at least float32; on other platforms the native one.
    """
    return _depthwise(make_window(x, kernel.shape[:-1], strides, padding), x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _depthwise(window: Window, x: Array, kernel: Array) -> Array:
    return jax.lax.platform_dependent(
        x, kernel, cpu=partial(_shifted, window), default=partial(_grouped, window)
    )


def _grouped(window: Window, x: Array, kernel: Array) -> Array:
    return _native(window, x, kernel[..., None, :], (1,) * (x.ndim - 2), x.shape[-1])


def _shifted(window: Window, x: Array, kernel: Array) -> Array:
    padded, taps = window.padded(_wide(x)), _wide(kernel)
    return sum(take_offset(padded, window, o) * taps[o] for o in offsets(window)).astype(x.dtype)


def _wide(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _correlated(window: Window, x: Array, g: Array) -> Array:
    """Returns the kernel's gradient `[*window, C]`.

    A loop over the rows of the output with one accumulator a tap: XLA makes each step of it one
    vectorised pass, where sums over whole products keep a copy of the input for every tap. No step
    crosses the batch, so a sharded one meets in the last sum only.
    """
    padded = window.padded(x)

    def add_row(i: Array, totals: list[Array]) -> list[Array]:
        band = jax.lax.dynamic_slice_in_dim(padded, i * window.strides[0], window.size[0], axis=1)
        g_row = _wide(jax.lax.dynamic_slice_in_dim(g, i, 1, axis=1))
        return [t + take_offset(band, window, o) * g_row for t, o in zip(totals, taps, strict=True)]

    taps = list(offsets(window))
    zero = _wide(jnp.zeros((g.shape[0], 1, *g.shape[2:]), g.dtype))
    totals = jax.lax.fori_loop(0, g.shape[1], add_row, [zero] * len(taps))
    sums = [total.sum(range(total.ndim - 1)) for total in totals]
    return jnp.stack(sums).reshape(*window.size, -1)


def _depthwise_forward(
    window: Window, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _depthwise(window, x, kernel), (x, kernel)


def _depthwise_backward(
    window: Window, saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    def on_cpu(x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
        (dx,) = jax.linear_transpose(lambda x: _shifted(window, x, kernel), x)(g)
        return dx, _correlated(window, x, g).astype(kernel.dtype)

    def elsewhere(x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
        return jax.vjp(partial(_grouped, window), x, kernel)[1](g)

    return jax.lax.platform_dependent(*saved, g, cpu=on_cpu, default=elsewhere)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)
