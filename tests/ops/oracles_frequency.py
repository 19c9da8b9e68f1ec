"""Spectral and wavelet operators once more: float64, sums of waves and PyWavelets.

`ORACLES` has the form of `tests.ops.oracles.ORACLES`.
"""

from collections.abc import Callable

import numpy as np
import pywt

ORACLES: dict[str, Callable] = {}


def oracle(function: Callable) -> Callable:
    ORACLES[function.__name__] = function
    return function


def _along(matrix, x, axis):
    return np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)


def _sizes(x, strides):
    steps = np.broadcast_to(strides, x.ndim - 2)
    return [int(np.ceil(n / s)) for n, s in zip(x.shape[1:-1], steps, strict=True)]


def _sum_of_waves(n, m, frequencies, weight):
    """`[m, n]`: analyse n samples at the frequencies, weigh, synthesise on m samples."""
    i, j = np.arange(n), np.arange(m)
    matrix = np.zeros((m, n), complex)
    for k in frequencies:
        synthesis = np.exp(2j * np.pi * k * j / m)
        matrix += weight(k) * synthesis[:, None] * np.exp(-2j * np.pi * k * i / n) / n
    return matrix


def _faded(x, strides, fade):
    x = np.asarray(x, np.float64)
    for axis, m in enumerate(_sizes(x, strides), start=1):
        n = x.shape[axis]
        frequencies = range(-(m // 2), m // 2 + 1)

        def weight(k, n=n, m=m, axis=axis):
            return fade(k, n, m, axis) * (0.5 if 2 * abs(k) == m else 1)

        matrix = _sum_of_waves(n, m, frequencies, weight)
        assert np.abs(matrix.imag).max() < 1e-12
        x = _along(matrix.real, x, axis)
    return x


@oracle
def spectral_pool(x, strides):
    return _faded(x, strides, lambda k, n, m, axis: 1.0)


@oracle
def asap(x, strides):
    return _faded(
        x, strides, lambda k, n, m, axis: (0.54 + 0.46 * np.cos(2 * np.pi * k / n)) ** 0.5
    )


@oracle
def flc_pool(x, strides):
    x = np.asarray(x, np.complex128)
    for axis, m in enumerate(_sizes(x, strides), start=1):
        frequencies = range(-(m // 2), m - m // 2)
        x = _along(_sum_of_waves(x.shape[axis], m, frequencies, lambda k: 1.0), x, axis)
    return x.real


@oracle
def diffstride(x, stride, strides, *, smoothness=4.0):
    learned = np.broadcast_to(np.asarray(stride, np.float64), x.ndim - 2)

    def fade(k, n, m, axis):
        low, high = n / max(m - smoothness, 2), n / 2
        s = min(max(learned[axis - 1], low), high) if n > 1 else 1.0
        return min(max((smoothness + n / (2 * s) - abs(k)) / smoothness, 0), 1)

    return _faded(x, strides, fade)


@oracle
def wavelet_pool(x, strides, *, wavelet="haar"):
    x = np.asarray(x, np.float64)
    for axis, stride in enumerate(np.broadcast_to(strides, x.ndim - 2), start=1):
        for _ in range(int(np.log2(stride))):
            x = pywt.dwt(x, wavelet, "periodization", axis=axis)[0]
    return x
