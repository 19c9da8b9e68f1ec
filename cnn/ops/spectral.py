"""Pooling in the frequency domain: keep the low frequencies, drop or fade the others.

These operators have no window and no padding. The Fourier transform takes the input for one period
of a circular signal, and an axis of n elements becomes ceil(n / stride). All arithmetic is float32
(float64 for such inputs), also for bfloat16 inputs; the result has the dtype of the input.

Transform, weights and inverse are one matrix per axis: a product with it is deterministic, and runs
wherever a matrix product runs. XLA's FFT on CPU does not: it refuses layouts that the compiler may
choose when devices share the batch.
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

# (n, m, axis) -> factors of the bins 0 to m // 2, None for ones.
_Weights = Callable[[int, int, int], Array | np.ndarray | None]


def spectral_pool(x: Array, strides: Size) -> Array:
    """Resamples `[B, *spatial, C]` with an ideal low pass (Rippel et al., NeurIPS 2015).

    Per axis of n elements and m = ceil(n / stride) outputs

        y[j] = sum over |k| <= m / 2 of w[k] X[k] exp(2 pi i j k / m),   X = DFT(x) / n

    with w = 1, but 1/2 at k = +-m / 2 when m is even and m < n: half of the two conjugate Nyquist
    bins each. So the output is real, means are kept, and signals below that frequency are resampled
    without error. Stride 1 is the identity.

    Pitfalls: implementations that keep one Nyquist bin get a complex output and hide it behind
    `.real` or `abs`; `scipy.signal.resample` counts both bins fully (it samples a cosine at Nyquist
    exactly, and is no projection). Sharp edges ring (Gibbs), also across the image's border, which
    is circular. Parameters: none.
    """
    return _separable(x, strides, lambda n, m, axis: None)


def flc_pool(x: Array, strides: Size) -> Array:
    """FrequencyLowCut pooling of `[B, *spatial, C]` (Grabinski et al., ECCV 2022).

    As published: y = Re IDFT(X[-m/2 <= k < m/2]) over all axes at once, X = DFT(x) / prod(n), for
    any m = ceil(n / stride). In 1-D, and for odd m, that is `spectral_pool`; in 2-D and 3-D it
    differs at the bins where two axes or more are at Nyquist, of which this takes one corner.

    Pitfalls: an earlier release of the authors' code returns the modulus (`abs`), which folds
    negative activations, without dividing by the number of elements, so constants grow by the
    stride to the power of the dimensions. Circular borders. Parameters: none.
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

    `spectral_pool` of `[B, *spatial, C]` whose bins are weighted, per axis, with the square root of
    a Hamming window over the n bins of the input: sqrt(0.54 + 0.46 cos(2 pi k / n)). The fading
    reduces the ringing. Stride 1 blurs too.

    Pitfalls: the authors' code centres the window between two bins (`np.hamming(n)`, symmetric), so
    positive and negative frequencies are weighted unequally and constants shrink (by 0.24 % for
    32 x 32); here it is centred on frequency zero, so constants are kept. Theirs also caches the
    window of the first size seen and puts it on CUDA. Circular borders. Parameters: none.
    """

    def weights(n: int, m: int, axis: int) -> np.ndarray:
        return np.sqrt(0.54 + 0.46 * np.cos(2 * np.pi * np.arange(m // 2 + 1) / n))

    return _separable(x, strides, weights)


def diffstride(x: Array, stride: Array, strides: Size, *, smoothness: float = 4.0) -> Array:
    """Spectral pooling with a learnable stride (Riad et al., ICLR 2022), in a form that jits.

    Per axis bins of `spectral_pool` are weighted with

        w[k] = clip((R + n / (2 S) - |k|) / R, 0, 1)

    where R is the smoothness and S the learnable stride, which so moves the ramp's place.

    The output size is fixed: ceil(n / strides). The published operator crops to where w > 0, about
    n / S + 2 R bins, so its shapes depend on a parameter and it cannot be compiled (nor be summed
    with a shortcut of other size). Here the crop is static and S decides how much of it passes:
    between 2 elements and m - R, that is S is clipped to [n / max(m - R, 2), n / 2]. The gradient
    passes the clip unchanged, as published for m = n: S cannot get stuck. For m <= 2 nothing is
    left to learn.

    Other differences: the published code's mask is one bin wider along the last axis and for
    negative frequencies of even sizes along the other, and is rotated by one bin for odd sizes;
    here it is the same for all axes and for +-k. Constants are kept.

    Args:
      x: `[B, *spatial, C]`.
      stride: S, a scalar or one an axis; real numbers, differentiable. The published initial value
        is 2; no weight decay.
      strides: of the crop, integers.
      smoothness: R, width of the ramp in bins; the published value.

    Raises:
      UserError: smoothness <= 0, or a stride of other shape.
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
    """Multiplies every line of an axis of x, of n elements, with a matrix `[m, n]`.

    In the dtype of x, rounded nowhere else, on accelerators too.
    """
    matrix = jnp.asarray(matrix, x.dtype)
    y = jnp.tensordot(x, matrix, ((axis,), (1,)), precision=jax.lax.Precision.HIGHEST)
    return jnp.moveaxis(y, -1, axis)


def _resampling(n: int, m: int, weights: Array | np.ndarray | None) -> Array | np.ndarray:
    """Returns the matrix `[m, n]` that resamples n elements at m places, in float64 unless traced.

    Row j and column l hold sum over |k| <= m / 2 of w[|k|] cos(2 pi k (j / m - l / n)) / n, with
    the bins +-m / 2 of an even m counted half each.
    """
    k = np.arange(m // 2 + 1)
    # Both bins +-k of all but zero and Nyquist.
    factors = np.where((k == 0) | (2 * k == m), 1.0, 2.0) / n
    weighted = factors if weights is None else factors * weights
    angles = _angles(k, m).T, _angles(k, n)
    waves = [np.asarray(f(a), weighted.dtype) for f in (np.cos, np.sin) for a in angles]
    product = np.matmul
    if not isinstance(weighted, np.ndarray):
        product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    return product(waves[0] * weighted, waves[1]) + product(waves[2] * weighted, waves[3])


def _negative_nyquist(n: int, m: int) -> np.ndarray:
    """Returns the imaginary part of the bin -m / 2 alone, as a matrix `[m, n]`; 0 for odd m."""
    if m % 2:
        return np.zeros((m, n))
    return np.outer(np.where(np.arange(m) % 2, -1.0, 1.0), np.sin(_angles(m // 2, n))) / n


def _angles(k: np.ndarray | int, n: int) -> np.ndarray:
    """Returns 2 pi k l / n of l = 0 .. n - 1, less whole turns, `[*k, n]` in float64."""
    return 2 * np.pi * (np.multiply.outer(k, np.arange(n)) % n) / n


def _output_sizes(x: Array, strides: Size) -> list[int]:
    steps = per_axis(strides, x.ndim - 2, "strides")
    return [-(-n // s) for n, s in zip(x.shape[1:-1], steps, strict=True)]
