"""Dense and depthwise convolution, in the fastest form for each platform.

On CPU, depthwise convolutions are sums of shifted products, and kernel gradients come from
`kernel_gradient`. Everything else is XLA's native convolution.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from cnn.ops.kernel_gradient import dense_kernel_gradient, depthwise_kernel_gradient
from cnn.ops.padding import Padding, Size, Window, make_window, per_axis
from cnn.ops.precision import widened
from cnn.ops.windows import by_phase, interleave, offsets, stride_cells, take_offset, unpad

_DIMENSIONS = {
    1: ("NWC", "WIO", "NWC"),
    2: ("NHWC", "HWIO", "NHWC"),
    3: ("NDHWC", "DHWIO", "NDHWC"),
}


def conv(
    x: Array, kernel: Array, strides: Size, padding: Padding, *, dilation: Size = 1, groups: int = 1
) -> Array:
    """Cross-correlates `[B, *spatial, C]` with a kernel, returning `[B, *out, features]`.

    Args:
      x: the input.
      kernel: `[*window, C / groups, features]`, of x's dtype.
      strides: the output stride.
      padding: see `make_window`; the window is the span of the dilated kernel.
      dilation: distance between neighbouring kernel elements.
      groups: number of channel groups; each is convolved with its own share of the features.

    Raises:
      UserError: see `make_window`.
    """
    ndim = x.ndim - 2
    steps = per_axis(dilation, ndim, "dilation")
    span = tuple((k - 1) * d + 1 for k, d in zip(kernel.shape[:ndim], steps, strict=True))
    window = make_window(x, span, strides, padding)
    if groups > 1:
        return _native(window, steps, groups, x, kernel)
    return _dense(window, steps, x, kernel)


def _native(
    window: Window, dilation: tuple[int, ...], groups: int, x: Array, kernel: Array
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


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _dense(window: Window, dilation: tuple[int, ...], x: Array, kernel: Array) -> Array:
    return _native(window, dilation, 1, x, kernel)


def _dense_forward(
    window: Window, dilation: tuple[int, ...], x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _dense(window, dilation, x, kernel), (x, kernel)


def _dense_backward(
    window: Window, dilation: tuple[int, ...], saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    native = partial(_native, window, dilation, 1)

    def on_cpu(x: Array, g: Array) -> Array:
        return dense_kernel_gradient(window, dilation, x, g).astype(kernel.dtype)

    def elsewhere(x: Array, g: Array) -> Array:
        return jax.linear_transpose(lambda kernel: native(x, kernel), kernel)(g)[0]

    (dx,) = jax.linear_transpose(lambda x: native(x, kernel), x)(g)
    if len(window.size) == 1 < kernel.shape[0]:
        return dx, elsewhere(x, g)
    return dx, jax.lax.platform_dependent(x, g, cpu=on_cpu, default=elsewhere)


_dense.defvjp(_dense_forward, _dense_backward)


def depthwise_conv(x: Array, kernel: Array, strides: Size, padding: Padding) -> Array:
    """Convolves each channel of `[B, *spatial, C]` with its own filter of `[*window, C]`.

    On CPU, where the native grouped convolution takes 30 times as long, this is a sum of shifted
    products accumulated in at least float32; other platforms use the native convolution.
    """
    return _depthwise(make_window(x, kernel.shape[:-1], strides, padding), x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _depthwise(window: Window, x: Array, kernel: Array) -> Array:
    return jax.lax.platform_dependent(
        x, kernel, cpu=partial(_shifted, window), default=partial(_grouped, window)
    )


def _grouped(window: Window, x: Array, kernel: Array) -> Array:
    return _native(window, (1,) * (x.ndim - 2), x.shape[-1], x, kernel[..., None, :])


def _shifted(window: Window, x: Array, kernel: Array) -> Array:
    padded, taps = window.padded(widened(x)), widened(kernel)
    return sum(take_offset(padded, window, o) * taps[o] for o in offsets(window)).astype(x.dtype)


def _shifted_back(window: Window, x: Array, kernel: Array, g: Array) -> Array:
    """Returns the gradient of `_shifted` with respect to x, as shifted products of g."""
    taps, padded_shape = widened(kernel), jax.eval_shape(window.padded, x).shape
    shape = (*x.shape[:1], *stride_cells(padded_shape, window), *x.shape[-1:])
    reach = [(k - 1) // s for k, s in zip(window.size, window.strides, strict=True)]
    room = zip(reach, shape[1:-1], g.shape[1:-1], strict=True)
    padded = jnp.pad(widened(g), [(0, 0), *((m, cell - n) for m, cell, n in room), (0, 0)])

    def dense(phase: tuple[int, ...]) -> Array:
        total = jnp.zeros(shape, padded.dtype)
        for offset, shift in by_phase(window, phase).items():
            starts = (0, *(m - i for m, i in zip(reach, shift, strict=True)), 0)
            stops = [start + n for start, n in zip(starts, shape, strict=True)]
            total += jax.lax.slice(padded, starts, stops) * taps[offset]
        return total

    whole = interleave(dense, window.strides)
    return unpad(jax.lax.slice(whole, (0,) * x.ndim, padded_shape), window).astype(x.dtype)


def _depthwise_forward(
    window: Window, x: Array, kernel: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _depthwise(window, x, kernel), (x, kernel)


def _depthwise_backward(
    window: Window, saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    def on_cpu(x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
        dx = _shifted_back(window, x, kernel, g)
        return dx, depthwise_kernel_gradient(window, x, g).astype(kernel.dtype)

    def elsewhere(x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
        return jax.vjp(partial(_grouped, window), x, kernel)[1](g)

    return jax.lax.platform_dependent(*saved, g, cpu=on_cpu, default=elsewhere)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)
