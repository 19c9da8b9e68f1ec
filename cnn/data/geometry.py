"""Geometric augmentation of uint8 batches `[B, H, W, C]`; each image has its own draws."""

import jax
import jax.numpy as jnp

from cnn.data.crop import UNIFORMS, crop_box


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each image left to right with probability one half."""
    return mirror(images, jax.random.bernoulli(key, 0.5, images.shape[:1]))


def mirror(images: jax.Array, chosen: jax.Array) -> jax.Array:
    """Mirrors the chosen ones, bool `[B]`, of images or clips `[B, ..., W, C]` left to right."""
    each = chosen.reshape(-1, *[1] * (images.ndim - 1))
    return jnp.where(each, jnp.flip(images, -2), images)


def random_pad_crop(key: jax.Array, images: jax.Array, pad: int, mode: str) -> jax.Array:
    """Pads each image by `pad` pixels on all sides and crops it back at a uniform position.

    Args:
      mode: "zero" or "reflect" (about the border pixel, which is not repeated).
    """
    batch, height, width, channels = images.shape
    widths = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    padded = jnp.pad(images, widths, mode="constant" if mode == "zero" else "reflect")
    offsets = jax.random.randint(key, (batch, 2), 0, 2 * pad + 1)

    def crop(image: jax.Array, offset: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), (height, width, channels))

    return jax.vmap(crop)(padded, offsets)


def random_resized_crop(key: jax.Array, images: jax.Array, area: tuple[float, float]) -> jax.Array:
    """Cuts a box (`crop_box`) out of each image and resizes it back to `[H, W]`.

    Linear interpolation within the box, with a wider triangle filter when shrinking.
    """
    batch, height, width, _ = images.shape
    uniforms = jax.random.uniform(key, (batch, UNIFORMS))

    def resize(image: jax.Array, row: jax.Array) -> jax.Array:
        top, left, box_height, box_width = crop_box(row, height, width, area, jnp)
        rows = _resize_weights(height, top, box_height)
        columns = _resize_weights(width, left, box_width)
        # Exact products: the pixels and weights would otherwise be rounded on accelerators.
        return jnp.einsum(
            "ip,jq,pqc->ijc", rows, columns, image.astype(jnp.float32), precision="highest"
        )

    return jnp.round(jax.vmap(resize)(images, uniforms)).astype(jnp.uint8)


def _resize_weights(size: int, start: jax.Array, length: jax.Array) -> jax.Array:
    """Returns float32 `[size, size]`: the share of each pixel in each pixel of the resized box."""
    scale = length / size
    centres = start + (jnp.arange(size) + 0.5) * scale - 0.5
    pixels = jnp.arange(size)
    distance = jnp.abs(pixels[None, :] - centres[:, None])
    weights = jnp.maximum(0.0, 1.0 - distance / jnp.maximum(scale, 1.0))
    weights = jnp.where((pixels >= start) & (pixels < start + length), weights, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def move(image: jax.Array, places: jax.Array) -> jax.Array:
    """Moves the pixels of one image `[H, W, C]` along a map, as Pillow does without interpolation.

    Args:
      image: whose pixels are taken; those from outside are 0.
      places: int32 `[6]` (a, b, c, d, e, f) in units of 1 / 65536: the pixel shown at column x and
        row y is that in column a x + b y + c and row d x + e y + f, rounded down.
    """
    height, width, _ = image.shape
    a, b, c, d, e, f = places
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    from_column = (a * columns + b * rows + c) >> 16
    from_row = (d * columns + e * rows + f) >> 16
    inside = (from_column >= 0) & (from_column < width) & (from_row >= 0) & (from_row < height)
    taken = image[jnp.clip(from_row, 0, height - 1), jnp.clip(from_column, 0, width - 1)]
    return jnp.where(inside[..., None], taken, jnp.zeros_like(image))


def random_box(
    key: jax.Array, image_shape: tuple[int, int], heights: jax.Array, widths: jax.Array
) -> jax.Array:
    """Returns bool `[B, H, W, 1]`, true inside one box per image.

    The centre of a box is a uniform pixel, so boxes are cut off at the border, as in cutout and
    CutMix.

    Args:
      image_shape: height and width of the images.
      heights, widths: int32 `[B]`, of the boxes.
    """
    batch = heights.shape[0]

    def inside(key: jax.Array, size: int, lengths: jax.Array) -> jax.Array:
        starts = jax.random.randint(key, (batch,), 0, size) - lengths // 2
        places = jnp.arange(size)
        return (places >= starts[:, None]) & (places < (starts + lengths)[:, None])

    row_key, column_key = jax.random.split(key)
    rows = inside(row_key, image_shape[0], heights)
    columns = inside(column_key, image_shape[1], widths)
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def cutout(key: jax.Array, images: jax.Array, size: int) -> jax.Array:
    """Sets a square of side `size` to zero, which is the mean, in each normalised image.

    DeVries & Taylor 2017, "Improved Regularization of CNNs with Cutout".
    """
    sizes = jnp.full(images.shape[0], size, jnp.int32)
    return jnp.where(random_box(key, images.shape[1:3], sizes, sizes), 0.0, images)
