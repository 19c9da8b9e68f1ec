"""Pooling in the frequency domain: keep the low frequencies, drop or fade the others.

These operators have no window and no padding. The Fourier transform takes the input for one period
of a circular signal, and an axis of n elements becomes ceil(n / stride). All arithmetic is float32
(float64 for such inputs), also for bfloat16 inputs; the result has the dtype of the input.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.config.errors import UserError
from cnn.ops.padding import Size, per_axis
from cnn.ops.precision import widened, working_dtype

# (n, m, axis) -> factors of the bins 0 to m // 2, None for ones.
_Weights = Callable[[int, int, int], Array | None]


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
    sizes = _output_sizes(x, strides)
    axes = tuple(range(1, x.ndim - 1))
    spectrum = jnp.fft.fftn(widened(x), axes=axes, norm="forward")
    for axis, m in zip(axes, sizes, strict=True):
        n = x.shape[axis]
        low = jax.lax.slice_in_dim(spectrum, 0, (m + 1) // 2, axis=axis)
        negative = jax.lax.slice_in_dim(spectrum, n - m // 2, n, axis=axis)
        spectrum = jnp.concatenate([low, negative], axis)
    return jnp.fft.ifftn(spectrum, axes=axes, norm="forward").real.astype(x.dtype)


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

    def weights(n: int, m: int, axis: int) -> Array:
        k = np.arange(m // 2 + 1)
        return jnp.asarray(np.sqrt(0.54 + 0.46 * np.cos(2 * np.pi * k / n)), working_dtype(x))

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
        raise UserError(f"smoothness: must be above 0, not {smoothness}")
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
        y = _low_pass(y, axis, m, weights(x.shape[axis], m, axis))
    return y.astype(x.dtype)


def _low_pass(x: Array, axis: int, m: int, weights: Array | None) -> Array:
    n = x.shape[axis]
    if n == 1 or (m == n and weights is None):
        return x
    bins = jnp.fft.rfft(jnp.moveaxis(x, axis, -1), norm="forward")[..., : m // 2 + 1]
    # The inverse adds the conjugates, so at zero and at Nyquist only the real part may be there.
    single = np.zeros(m // 2 + 1, bool)
    single[0] = True
    single[-1] |= m % 2 == 0
    bins = jax.lax.complex(bins.real, jnp.where(single, 0, bins.imag))
    bins = bins if weights is None else bins * weights
    return jnp.moveaxis(jnp.fft.irfft(bins, m, norm="forward"), -1, axis)


def _output_sizes(x: Array, strides: Size) -> list[int]:
    steps = per_axis(strides, x.ndim - 2, "strides")
    return [-(-n // s) for n, s in zip(x.shape[1:-1], steps, strict=True)]
