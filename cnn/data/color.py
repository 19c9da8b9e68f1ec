"""Colour operations in the manner of RandAugment, on whole pixel values in float32.

Cubuk et al. 2020, "RandAugment: Practical Automated Data Augmentation with a Reduced Search
Space", applies a few operations in turn, each uniform among all, all at one magnitude M of 30.
Those that move no pixels are implemented here, plus AutoAugment's invert. Each matches the Pillow
operation of the same name. With m = M / 30, as in torchvision:

  brightness, colour, contrast, sharpness   factor 1 + 0.9 m or 1 - 0.9 m, either with probability
                                            one half
  posterize                                 8 - round(4 m) bits are kept
  solarize                                  pixels from 255 (1 - m) on are inverted
  identity, autocontrast, equalize, invert  no magnitude

Every function here takes float32 `[H, W, C]`, C being 1 or 3, of whole numbers from 0 to 255, and
returns the same.
"""

import jax
import jax.numpy as jnp

_LUMA = (299 / 1000, 587 / 1000, 114 / 1000)


def random_color(key: jax.Array, images: jax.Array, operations: int, magnitude: float) -> jax.Array:
    """Applies that many random operations to each image of uint8 `[B, H, W, C]`."""

    def step(pixels: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        choice_key, sign_key = jax.random.split(key)
        choices = jax.random.randint(choice_key, (images.shape[0],), 0, len(OPERATIONS))
        signs = jax.random.rademacher(sign_key, (images.shape[0],), jnp.float32)
        return jax.vmap(_apply)(choices, pixels, magnitude / 30 * signs), None

    keys = jax.random.split(key, operations)
    pixels, _ = jax.lax.scan(step, images.astype(jnp.float32), keys)
    return pixels.astype(jnp.uint8)


def _apply(choice: jax.Array, image: jax.Array, amount: jax.Array) -> jax.Array:
    return jax.lax.switch(choice, tuple(OPERATIONS.values()), image, amount)


def _blend(base: jax.Array, image: jax.Array, amount: jax.Array) -> jax.Array:
    """Moves an image away from (or, for a negative amount, towards) a degenerate version of it."""
    factor = 1.0 + 0.9 * amount
    return jnp.floor(jnp.clip(base + factor * (image - base), 0.0, 255.0))


def grey(image: jax.Array) -> jax.Array:
    """Returns the luma (ITU-R 601) of each pixel, `[H, W, 1]`."""
    if image.shape[-1] == 1:
        return image
    return jnp.round(image @ jnp.asarray(_LUMA, jnp.float32))[..., None]


def identity(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Changes nothing."""
    return image


def brightness(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Scales the pixels."""
    return _blend(jnp.zeros_like(image), image, amount)


def contrast(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Scales the distance from the mean luma of the image."""
    return _blend(jnp.round(grey(image).mean()), image, amount)


def color(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Scales the distance from the luma of each pixel; leaves grey images alone."""
    return _blend(grey(image), image, amount)


def sharpness(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Scales the distance from a smoothed image; the border, which is not smoothed, stays."""
    height, width, _ = image.shape
    if height < 3 or width < 3:
        return image
    shifts = [image[i : height - 2 + i, j : width - 2 + j] for i in range(3) for j in range(3)]
    smooth = jnp.round((sum(shifts) + 4.0 * shifts[4]) / 13.0)
    return _blend(image.at[1:-1, 1:-1].set(smooth), image, amount)


def posterize(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Drops the lowest bits."""
    step = jnp.exp2(jnp.round(4.0 * jnp.abs(amount)))
    return jnp.floor(image / step) * step


def solarize(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Inverts the bright pixels."""
    return jnp.where(image < 255.0 * (1.0 - jnp.abs(amount)), image, 255.0 - image)


def autocontrast(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Stretches each channel to the full range."""
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    scale = 255.0 / jnp.maximum(high - low, 1.0)
    return jnp.where(high > low, jnp.floor((image - low) * scale), image)


def equalize(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Flattens the histogram of each channel."""
    height, width, channels = image.shape
    values = image.astype(jnp.int32).reshape(-1, channels)
    places = jnp.arange(channels)
    histogram = jnp.zeros((256, channels), jnp.int32).at[values, places].add(1)
    brightest = jnp.take_along_axis(histogram, values.max(axis=0)[None], axis=0)[0]
    step = (height * width - brightest) // 255
    below = jnp.cumsum(histogram, axis=0) - histogram
    table = jnp.clip((below + step // 2) // jnp.maximum(step, 1), 0, 255)
    flat = jnp.where(step > 0, table[values, places], values)
    return flat.reshape(image.shape).astype(jnp.float32)


def invert(image: jax.Array, amount: jax.Array) -> jax.Array:
    """Turns bright into dark."""
    return 255.0 - image


OPERATIONS = {
    "identity": identity,
    "autocontrast": autocontrast,
    "brightness": brightness,
    "color": color,
    "contrast": contrast,
    "equalize": equalize,
    "invert": invert,
    "posterize": posterize,
    "sharpness": sharpness,
    "solarize": solarize,
}
