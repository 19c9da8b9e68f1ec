"""Wavelet pooling: the low-pass band of a discrete wavelet transform."""

from math import sqrt
from typing import TypeVar

import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError, did_you_mean
from cnn.ops.convolution import depthwise_conv
from cnn.ops.padding import Size, per_axis
from cnn.ops.precision import widened

T = TypeVar("T")

# Low-pass filters (Daubechies 1988), as cross-correlation kernels.
_LOW_PASS = {
    "haar": (1 / sqrt(2), 1 / sqrt(2)),
    "db2": tuple(c / (4 * sqrt(2)) for c in (1 + sqrt(3), 3 + sqrt(3), 3 - sqrt(3), 1 - sqrt(3))),
}
WAVELETS = tuple(_LOW_PASS)


def wavelet_pool(x: Array, strides: Size, *, wavelet: str = "haar") -> Array:
    """Keeps the approximation band of an orthonormal wavelet transform of `[B, *spatial, C]`.

    Per axis and level, y[i] = sum_t h[t] x[2i + t - (k / 2 - 1)] for a filter h of k taps, with one
    level per factor of 2 in the stride (Williams & Li, ICLR 2018, who equivalently discard the
    finest details and invert the rest; WaveCNet, Li et al., CVPR 2020). There is no window and no
    padding argument: the signal is periodic, and an odd axis first repeats its last element. An
    axis of n elements becomes ceil(n / stride); values equal
    `pywt.dwt(x, wavelet, "periodization")[0]`.

    Pitfalls: an orthonormal low-pass filter scales constants by sqrt(2) per axis and level, so Haar
    at stride 2 is twice the 2x2 average in 2-D. In a network without normalisation, this changes
    the initial scale relative to average pooling. WaveCNet pads with zeros. A "Haar" filter of
    [1, 1] / 2 is average pooling.

    Args:
      x: the input; sums are at least float32.
      strides: powers of 2, including 1.
      wavelet: haar (2 taps) or db2 (4 taps).

    Raises:
      UserError: the wavelet is unknown, or a stride is not a power of 2.
    """
    if wavelet not in WAVELETS:
        raise UserError(f"wavelet: unknown '{wavelet}': {did_you_mean(wavelet, WAVELETS)}")
    y = widened(x)
    for axis, stride in enumerate(per_axis(strides, x.ndim - 2, "strides"), start=1):
        if stride & (stride - 1):
            raise UserError(f"strides: {strides} do not fit wavelet pooling; use powers of 2")
        for _ in range(stride.bit_length() - 1):
            y = _halve(y, axis, _LOW_PASS[wavelet])
    return y.astype(x.dtype)


def _halve(x: Array, axis: int, taps: tuple[float, ...]) -> Array:
    reach = len(taps) // 2 - 1
    x = jnp.pad(x, _at(axis, (0, x.shape[axis] % 2), (0, 0), x.ndim), mode="edge")
    x = jnp.pad(x, _at(axis, (reach, reach), (0, 0), x.ndim), mode="wrap")
    window = _at(axis, len(taps), 1, x.ndim)[1:-1]
    kernel = jnp.repeat(jnp.asarray(taps, x.dtype).reshape(*window, 1), x.shape[-1], axis=-1)
    return depthwise_conv(x, kernel, _at(axis, 2, 1, x.ndim)[1:-1], "VALID")


def _at(axis: int, value: T, others: T, ndim: int) -> list[T]:
    return [value if i == axis else others for i in range(ndim)]
