"""Image shifts on the device: circular, by cropping, and by fractions of a pixel.

Offsets are traced, so one compiled function serves all shifts: `[B, 2]`, one per image, or `[2]`,
shared by all, which is faster. A positive offset moves the content down and to the right for
circular shifts, and moves the window for crops.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.ops.spectral import apply_along


def roll(x: Array, offsets: Array) -> Array:
    """Shifts images `[B, H, W, C]` circularly by whole pixels, int32 `[B, 2]` or `[2]`; exact."""
    if offsets.ndim == 1:
        return jnp.roll(x, offsets, (1, 2))
    return jax.vmap(lambda image, offset: jnp.roll(image, offset, (0, 1)))(x, offsets)


def crop(x: Array, offsets: Array, height: int, width: int) -> Array:
    """Crops `[B, H, W, C]` to `[B, height, width, C]` at corners int32 `[B, 2]` or `[2]`."""
    if offsets.ndim == 1:
        return jax.lax.dynamic_slice(
            x, (0, offsets[0], offsets[1], 0), (len(x), height, width, x.shape[-1])
        )
    size = (height, width, x.shape[-1])
    return jax.vmap(lambda image, o: jax.lax.dynamic_slice(image, (o[0], o[1], 0), size))(
        x, offsets
    )


def fourier_shift(x: Array, offsets: Array) -> Array:
    """Shifts maps `[B, H, W, C]` circularly by fractional offsets, float `[B, 2]` or `[2]`.

    Along an axis of n elements, bin k of the DFT is multiplied by exp(-2 pi i k d / n) for
    |k| < n / 2, and the Nyquist bin of an even n by cos(pi d), which is the real trigonometric
    interpolation of least bandwidth. Integer offsets equal `roll` up to rounding. Overshoot beyond
    the range of the pixels (ringing) is not clipped.
    """
    dtype = x.dtype
    x, offsets = x.astype(jnp.float32), jnp.atleast_2d(offsets).astype(jnp.float32)
    for axis in (1, 2):
        matrices = _shifting(x.shape[axis], offsets[:, axis - 1])
        if len(matrices) == 1:
            x = apply_along(x, matrices[0], axis)
        else:
            # Within a vmap there is no batch axis.
            x = jax.vmap(partial(apply_along, axis=axis - 1))(x, matrices)
    return x.astype(dtype)


def _shifting(n: int, offsets: Array) -> Array:
    """Returns float32 matrices `[B, n, n]` that shift n elements by offsets `[B]`.

    Entry (j, l) is the sum over bins k of their factor times exp(2 pi i k (j - l) / n), divided by
    n. They are built by matrix products instead of an FFT, see `cnn.ops.spectral`.
    """
    k = np.arange(n // 2 + 1)
    # Reduced modulo whole turns, as float32 does not resolve an angle as large as k * d.
    phases = 2 * jnp.pi * jnp.mod(k * jnp.mod(offsets, n)[:, None], n) / n
    nyquist = 2 * k == n
    cosines = jnp.where(nyquist, jnp.cos(jnp.pi * offsets)[:, None], jnp.cos(phases))
    sines = jnp.where(nyquist, 0.0, jnp.sin(phases))
    weights = np.where((k == 0) | nyquist, 1.0, 2.0) / n
    angles = 2 * np.pi * (np.multiply.outer(k, np.arange(n)) % n) / n
    product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    kernel = product(cosines * weights, np.cos(angles)) + product(sines * weights, np.sin(angles))
    return kernel[:, (np.arange(n)[:, None] - np.arange(n)) % n]
