"""Augmentation on the device, inside the step: a function of a key and a batch of uint8 images."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from cnn.config.errors import UserError

Augment = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def normalize(images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...]) -> jax.Array:
    """Returns (images / 255 - mean) / std, float32, for images `[..., C]` of pixels 0 to 255."""
    scale = 1.0 / (255.0 * jnp.asarray(std, jnp.float32))
    shift = jnp.asarray(mean, jnp.float32) / jnp.asarray(std, jnp.float32)
    return images.astype(jnp.float32) * scale - shift


def make_augment(
    augment: ConfigDict,
    num_classes: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    cropped: bool = False,
) -> Augment:
    """Builds the augmentation of a training batch."""

    def apply(key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        flip_key, crop_key = jax.random.split(key)
        if augment.flip:
            images = random_flip(flip_key, images)
        if augment.pad:
            images = random_pad_crop(crop_key, images, augment.pad, augment.pad_mode)
        targets = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
        return normalize(images, mean, std), targets

    return apply


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each image of `[B, H, W, C]` left to right with probability one half."""
    chosen = jax.random.bernoulli(key, 0.5, (images.shape[0], 1, 1, 1))
    return jnp.where(chosen, images[:, :, ::-1], images)


def random_pad_crop(key: jax.Array, images: jax.Array, pad: int, mode: str) -> jax.Array:
    """Pads each image of `[B, H, W, C]` on all sides and crops it back at a uniform place."""
    batch, height, width, channels = images.shape
    widths = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    padded = jnp.pad(images, widths, mode="constant" if mode == "zero" else "reflect")
    offsets = jax.random.randint(key, (batch, 2), 0, 2 * pad + 1)

    def crop(image: jax.Array, offset: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), (height, width, channels))

    return jax.vmap(crop)(padded, offsets)


def check_augment(augment: ConfigDict, image_shape: tuple[int, int, int]) -> None:
    """Raises `UserError` for a value that cannot be applied to images of that shape."""
    if augment.pad_mode not in ("zero", "reflect"):
        raise UserError(
            f"augment.pad_mode: unknown mode '{augment.pad_mode}'; allowed: reflect, zero"
        )
