"""Augmentation on the device, inside the step: a function of a key and a batch of uint8 images."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from cnn.config.call import split_calls
from cnn.config.errors import UserError
from cnn.config.registry import Registry
from cnn.data.color import random_color
from cnn.data.geometry import cutout, random_flip, random_pad_crop, random_resized_crop
from cnn.data.mixing import mix

# (key, pixels `[B, H, W, C]`) -> pixels, with options; applied to uint8 images while training.
AUGMENTATIONS: Registry[Callable[..., jax.Array]] = Registry(
    "augmentation", "augment.extra", listed=True
)

Augment = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


# (key, uint8 images) -> uint8 images.
PixelOperation = Callable[[jax.Array, jax.Array], jax.Array]


def _on_images(operation: PixelOperation, key: jax.Array, images: jax.Array) -> jax.Array:
    return operation(key, images)


def normalize(images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...]) -> jax.Array:
    """Returns (images / 255 - mean) / std, float32, for images `[..., C]` of pixels 0 to 255."""
    mean, std = jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)
    return (images.astype(jnp.float32) - 255.0 * mean) * (1.0 / (255.0 * std))


def make_augment(
    augment: ConfigDict,
    num_classes: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    cropped: bool = False,
    each: Callable[[PixelOperation, jax.Array, jax.Array], jax.Array] = _on_images,
) -> Augment:
    """Builds the augmentation of a training batch.

    Args:
      augment: resized crop, pad and crop, flip, colour, extra, cutout, mixup or CutMix, in turn.
      num_classes: of the targets.
      mean, std: per channel, of pixels scaled to [0, 1].
      cropped: the resized crop was taken while decoding (`Feed.cropped`).
      each: (operation, key, images) -> images, for what looks at pixels; of clips, frame by frame.

    Returns:
      A function of a key, uint8 `[B, H, W, C]` and int32 `[B]`, to normalised float32 images and
      float32 targets `[B, K]`, whose rows sum to one. The sharding has no influence on its draws.
      With `augment.consistency` images are three views of each, `[B, 3, H, W, C]`: one without
      the extra operations, and two with independent draws of them.
    """

    extra = [AUGMENTATIONS.bound(text, "augment.extra") for text in split_calls(augment.extra)]

    def changed_by_extra(key: jax.Array, images: jax.Array) -> jax.Array:
        for i, operation in enumerate(extra):
            images = each(operation, jax.random.fold_in(key, i + 1), images)
        return images

    def apply(key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        # One key for each, so that enabling one does not change the draws of the others.
        area_key, pad_key, flip_key, color_key, cutout_key, mix_key = jax.random.split(key, 6)
        if augment.random_resized_crop and not cropped:
            images = random_resized_crop(area_key, images, tuple(augment.random_resized_crop))
        if augment.pad:
            images = random_pad_crop(pad_key, images, augment.pad, augment.pad_mode)
        if augment.flip and not augment.alternate:
            images = random_flip(flip_key, images)
        if augment.color_ops:
            ops, magnitude = augment.color_ops, augment.color_magnitude
            images = each(
                partial(random_color, operations=ops, magnitude=magnitude), color_key, images
            )
        changed = [changed_by_extra(color_key, images)]
        if augment.consistency:
            again = changed_by_extra(jax.random.fold_in(color_key, 0), images)
            changed = [images, *changed, again]
        views = [normalize(view, mean, std) for view in changed]
        if augment.cutout:
            views = [cutout(cutout_key, view, augment.cutout) for view in views]
        images = jnp.stack(views, axis=1) if augment.consistency else views[0]
        targets = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
        if augment.mixup or augment.cutmix:
            images, targets = mix(mix_key, images, targets, augment.mixup, augment.cutmix)
        return images, targets

    return apply


def check_augment(augment: ConfigDict, image_shape: tuple[int, int, int]) -> None:
    """Checks the augment section of a config against the images it is to be applied to.

    Raises:
      UserError: a value cannot be applied to images of that shape, naming its field.
    """
    side = min(image_shape[:2])
    if augment.pad_mode != "zero" and not augment.pad:
        raise UserError(
            "augment.pad_mode: has no effect with augment.pad=0; leave it out or set pad"
        )
    for name, limit in (("pad", side - 1), ("cutout", side)):
        if augment[name] > limit:
            raise UserError(
                f"augment.{name}: {augment[name]} is out of range; images of "
                f"{image_shape[0]}x{image_shape[1]} pixels allow 0 to {limit}"
            )
    if augment.consistency and not augment.extra:
        raise UserError(
            "augment.consistency: needs augment.extra, such as augmix, to make its views differ"
        )
    if augment.consistency and (augment.mixup or augment.cutmix):
        raise UserError(
            "augment.consistency: compares views of one example, but augment.mixup and "
            "augment.cutmix mix two; turn one of them off"
        )
    area = tuple(augment.random_resized_crop)
    if area and area[0] >= area[1]:
        raise UserError(
            f"augment.random_resized_crop: {area} are not increasing fractions of the area, "
            "such as (0.08, 1.0)"
        )
