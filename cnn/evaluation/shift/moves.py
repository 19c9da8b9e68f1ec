"""Ways to move images, on the device: circular, by cropping, and by fractions of a pixel.

Offsets are arguments, so one compiled function serves all shifts: `[B, 2]`, one for each image, or
`[2]`, the same for all, which is faster. A positive offset moves the content down and to the right
when rolled, and the window when cropped.
"""

import jax
import jax.numpy as jnp
from jax import Array


def roll(x: Array, offsets: Array) -> Array:
    """Moves images `[B, H, W, C]` circularly by whole pixels, int32 `[B, 2]` or `[2]`; exact."""
    if offsets.ndim == 1:
        return jnp.roll(x, offsets, (1, 2))
    return jax.vmap(lambda image, offset: jnp.roll(image, offset, (0, 1)))(x, offsets)


def crop(x: Array, offsets: Array, height: int, width: int) -> Array:
    """Cuts `[B, height, width, C]` out of `[B, H, W, C]`, from corners int32 `[B, 2]` or `[2]`."""
    if offsets.ndim == 1:
        return jax.lax.dynamic_slice(
            x, (0, offsets[0], offsets[1], 0), (len(x), height, width, x.shape[-1])
        )
    size = (height, width, x.shape[-1])
    return jax.vmap(lambda image, o: jax.lax.dynamic_slice(image, (o[0], o[1], 0), size))(
        x, offsets
    )


def fourier_shift(x: Array, offsets: Array) -> Array:
    """Moves maps `[B, H, W, C]` circularly by any numbers of pixels, float `[B, 2]` or `[2]`.

    Per axis of n elements, bin k of the DFT is multiplied with exp(-2 pi i k d / n) for
    |k| < n / 2, and the Nyquist bin of an even n with cos(pi d): the trigonometric interpolation of
    least bandwidth, which is real. Whole offsets give `roll`, to rounding. Values beyond those of
    the pixels (ringing) are not clipped.
    """
    dtype = x.dtype
    x, offsets = x.astype(jnp.float32), jnp.atleast_2d(offsets)
    for axis in (1, 2):
        x = _shift_axis(x, offsets[:, axis - 1].astype(jnp.float32), axis)
    return x.astype(dtype)


def _shift_axis(x: Array, offset: Array, axis: int) -> Array:
    n = x.shape[axis]
    k = jnp.arange(n // 2 + 1)
    # Whole turns leave no trace, and k * d exceeds what float32 resolves of an angle.
    angle = -2 * jnp.pi * jnp.mod(k * jnp.mod(offset, n)[:, None], n) / n
    factor = jnp.exp(1j * angle.astype(jnp.float32))
    if n % 2 == 0:
        factor = factor.at[:, -1].set(jnp.cos(jnp.pi * offset))
    bins = jnp.fft.rfft(jnp.moveaxis(x, axis, -1))
    moved = jnp.fft.irfft(bins * factor[:, None, None, :], n)
    return jnp.moveaxis(moved, -1, axis)
