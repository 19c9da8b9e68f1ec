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

# Low-pass filters (Daubechies 1988) in the order in which they meet the signal.
_LOW_PASS = {
    "haar": (1 / sqrt(2), 1 / sqrt(2)),
    "db2": tuple(c / (4 * sqrt(2)) for c in (1 + sqrt(3), 3 + sqrt(3), 3 - sqrt(3), 1 - sqrt(3))),
}
WAVELETS = tuple(_LOW_PASS)


def wavelet_pool(x: Array, strides: Size, *, wavelet: str = "haar") -> Array:
    """Keeps the approximation band of an orthonormal wavelet transform of `[B, *spatial, C]`.

    Per axis and level y[i] = sum_t h[t] x[2i + t - (k / 2 - 1)], a level for each factor 2 of the
    stride: Williams & Li, ICLR 2018, who drop the finest details and invert the rest, which is the
    same; Li et al. (WaveCNet), CVPR 2020. It has no window of its own and no padding argument: the
    signal is periodic, after an odd axis repeated its last element. So an axis of n elements
    becomes ceil(n / stride), to the values of `pywt.dwt(x, wavelet, "periodization")[0]`.

    Pitfalls: the scale. An orthonormal low pass multiplies constants by sqrt(2) an axis and level,
    and so does this: Haar at stride 2 is twice the 2 x 2 average in 2-D. Beside average pooling in
    a network without normalisation that is another initial scale. WaveCNet pads with zeros; and
    "Haar" with [1, 1] / 2 is average pooling. Parameters: none.

    Args:
      x: the input; sums are float32.
      strides: powers of 2, also 1.
      wavelet: haar (2 taps) or db2 (4 taps).

    Raises:
      UserError: another wavelet or stride.
    """
    if wavelet not in WAVELETS:
        raise UserError(f"wavelet: unknown '{wavelet}': {did_you_mean(wavelet, WAVELETS)}")
    y = widened(x)
    for axis, stride in enumerate(per_axis(strides, x.ndim - 2, "strides"), start=1):
        if stride & (stride - 1):
            raise UserError(f"strides: {strides} do not suit wavelet pooling; use powers of 2")
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
