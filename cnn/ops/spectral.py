"""Pooling in the frequency domain: keeps low frequencies and removes or attenuates the others.

These operators have no window and no padding. The input is one period of a periodic signal, so
borders are circular, and an axis of n elements becomes ceil(n / stride). There are no parameters
unless stated. All arithmetic is in float32 (float64 for float64 inputs), and the result has the
dtype of the input.

Transform, weights and inverse transform form one matrix per axis. A matrix product is deterministic
and runs on every platform; XLA's FFT on CPU rejects layouts that the compiler may choose for a
batch sharded over devices.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.config.errors import UserError
from cnn.ops.padding import Size, per_axis
from cnn.ops.precision import widened, working_dtype

# (n, m, axis) -> weights of the bins 0 to m // 2; None for ones.
_Weights = Callable[[int, int, int], Array | np.ndarray | None]


def spectral_pool(x: Array, strides: Size) -> Array:
    """Resamples `[B, *spatial, C]` with an ideal low-pass filter (Rippel et al., NeurIPS 2015).

    Per axis of n elements and m = ceil(n / stride) outputs

        y[j] = sum over |k| <= m / 2 of w[k] X[k] exp(2 pi i j k / m),   X = DFT(x) / n

    where w = 1, except for w = 1/2 at the two conjugate Nyquist bins k = +-m / 2 if m is even and
    m < n. The output is therefore real, means are preserved, and signals below the Nyquist
    frequency are resampled exactly. Stride 1 is the identity.

    Pitfalls: keeping only one Nyquist bin makes the output complex, which implementations hide with
    `.real` or `abs`. `scipy.signal.resample` weights both bins by 1, which samples a cosine at the
    Nyquist frequency exactly but is not a projection. Sharp edges ring (Gibbs), also across the
    circular border.
    """
    return _separable(x, strides, lambda n, m, axis: None)


def flc_pool(x: Array, strides: Size) -> Array:
    """FrequencyLowCut pooling of `[B, *spatial, C]` (Grabinski et al., ECCV 2022).

    As published, y = Re IDFT(X[-m/2 <= k < m/2]) over all axes at once, X = DFT(x) / prod(n), for
    any m = ceil(n / stride). In 1-D, and for odd m, this equals `spectral_pool`. In 2-D and 3-D it
    differs at the bins that are at the Nyquist frequency along two or more axes, of which it keeps
    one corner.

    Pitfalls: an earlier release of the authors' code returns the modulus (`abs`), which flips the
    sign of negative values, and does not divide by the number of elements, so constants grow by
    stride^ndim.
    """
    real, imaginary = widened(x), None
    for axis, m in enumerate(_output_sizes(x, strides), start=1):
        n = x.shape[axis]
        if m == n:
            continue
        kept, corner = _resampling(n, m, None), _negative_nyquist(n, m)
        parts = apply_along(real, kept, axis), apply_along(real, corner, axis)
        if imaginary is not None:
            parts = (
                parts[0] - apply_along(imaginary, corner, axis),
                parts[1] + apply_along(imaginary, kept, axis),
            )
        real, imaginary = parts
    return real.astype(x.dtype)


def asap(x: Array, strides: Size) -> Array:
    """Aliasing and spectral artefact free pooling (Grabinski et al., arXiv 2307.09804, 2023).

    `spectral_pool` of `[B, *spatial, C]` with the bins weighted, per axis, by the square root of a
    Hamming window over the n bins of the input, sqrt(0.54 + 0.46 cos(2 pi k / n)), which reduces
    ringing. Stride 1 blurs as well.

    Pitfalls: the authors' code centres the window between two bins (`np.hamming(n)`, symmetric), so
    positive and negative frequencies get different weights and constants shrink (by 0.24 % for
    32 x 32). It also caches the window of the first input size, on CUDA. Here the window is centred
    on frequency zero, so constants are preserved.
    """

    def weights(n: int, m: int, axis: int) -> np.ndarray:
        return np.sqrt(0.54 + 0.46 * np.cos(2 * np.pi * np.arange(m // 2 + 1) / n))

    return _separable(x, strides, weights)


def diffstride(x: Array, stride: Array, strides: Size, *, smoothness: float = 4.0) -> Array:
    """Spectral pooling with a learnable stride (Riad et al., ICLR 2022) and a static output size.

    Per axis, the bins of `spectral_pool` are weighted by

        w[k] = clip((R + n / (2 S) - |k|) / R, 0, 1)

    where R is the smoothness and the learnable stride S moves the ramp.

    The published operator crops to the bins with w > 0, about n / S + 2 R, so its output size
    depends on a parameter: it cannot be compiled, nor summed with a shortcut of another size. Here
    the output size is m = ceil(n / strides) and S sets the cutoff frequency within it. n / S is
    kept between 2 and m - R bins by clipping S to [n / max(m - R, 2), n / 2]. The gradient passes
    through the clip unchanged (straight-through), as published for m = n, so S cannot get stuck.
    For m <= 2 there is nothing to learn.

    The published code's mask is also one bin wider along the last axis and, for even sizes, for
    negative frequencies along the other axis, and is rotated by one bin for odd sizes; here it is
    the same for all axes and for +-k. Constants are preserved.

    Args:
      x: `[B, *spatial, C]`.
      stride: S, a real scalar or one value per axis, learnable. The authors initialise it to 2 and
        do not apply weight decay.
      strides: integer strides that set the output size.
      smoothness: R, the width of the ramp in bins; the default is the published value.

    Raises:
      UserError: smoothness is not positive, or `stride` has the wrong shape.
    """
    if smoothness <= 0:
        raise UserError(f"smoothness: must be positive, not {smoothness}")
    ndim = x.ndim - 2
    if jnp.shape(stride) not in ((), (ndim,)):
        raise UserError(
            f"stride: shape {jnp.shape(stride)} does not fit {ndim} spatial axes; "
            f"give a scalar or ({ndim},)"
        )
    learned = jnp.broadcast_to(jnp.asarray(stride, working_dtype(x)), (ndim,))

    def weights(n: int, m: int, axis: int) -> Array:
        s = learned[axis - 1]
        clipped = jnp.clip(s, n / max(m - smoothness, 2), n / 2)
        s += jax.lax.stop_gradient(clipped - s)
        k = jnp.arange(m // 2 + 1, dtype=s.dtype)
        return jnp.clip((smoothness + n / (2 * s) - k) / smoothness, 0, 1)

    return _separable(x, strides, weights)


def _separable(x: Array, strides: Size, weights: _Weights) -> Array:
    y = widened(x)
    for axis, m in enumerate(_output_sizes(x, strides), start=1):
        n, own = x.shape[axis], weights(x.shape[axis], m, axis)
        if n > 1 and (m < n or own is not None):
            y = apply_along(y, _resampling(n, m, own), axis)
    return y.astype(x.dtype)


def apply_along(x: Array, matrix: Array | np.ndarray, axis: int) -> Array:
    """Multiplies x along an axis of n elements by a matrix `[m, n]`.

    Computed in the dtype of x at the highest precision, on accelerators too.
    """
    matrix = jnp.asarray(matrix, x.dtype)
    y = jnp.tensordot(x, matrix, ((axis,), (1,)), precision=jax.lax.Precision.HIGHEST)
    return jnp.moveaxis(y, -1, axis)


def _resampling(n: int, m: int, weights: Array | np.ndarray | None) -> Array | np.ndarray:
    """Returns the matrix `[m, n]` that resamples n elements to m, in float64 unless traced.

    Entry (j, l) is the sum over |k| <= m / 2 of w[|k|] cos(2 pi k (j / m - l / n)) / n, with the
    bins +-m / 2 of an even m counted half.
    """
    k = np.arange(m // 2 + 1)
    # Counts both bins +-k, except for zero and Nyquist.
    factors = np.where((k == 0) | (2 * k == m), 1.0, 2.0) / n
    weighted = factors if weights is None else factors * weights
    angles = _angles(k, m).T, _angles(k, n)
    waves = [np.asarray(f(a), weighted.dtype) for f in (np.cos, np.sin) for a in angles]
    product = np.matmul
    if not isinstance(weighted, np.ndarray):
        product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    return product(waves[0] * weighted, waves[1]) + product(waves[2] * weighted, waves[3])


def _negative_nyquist(n: int, m: int) -> np.ndarray:
    """Returns the matrix `[m, n]` of the imaginary part of the bin -m / 2; zeros for odd m."""
    if m % 2:
        return np.zeros((m, n))
    return np.outer(np.where(np.arange(m) % 2, -1.0, 1.0), np.sin(_angles(m // 2, n))) / n


def _angles(k: np.ndarray | int, n: int) -> np.ndarray:
    """Returns 2 pi k l / n modulo 2 pi for l = 0 .. n - 1, float64 `[*k, n]`."""
    return 2 * np.pi * (np.multiply.outer(k, np.arange(n)) % n) / n


def _output_sizes(x: Array, strides: Size) -> list[int]:
    steps = per_axis(strides, x.ndim - 2, "strides")
    return [-(-n // s) for n, s in zip(x.shape[1:-1], steps, strict=True)]
