"""Mixup and CutMix: each example is mixed with another of the batch, and so are their targets."""

import jax
import jax.numpy as jnp

from cnn.data.geometry import random_box


def mix(
    key: jax.Array, images: jax.Array, targets: jax.Array, mixup: float, cutmix: float
) -> tuple[jax.Array, jax.Array]:
    """Mixes a batch by mixup or CutMix; with both on, a fair coin decides for each batch.

    Mixup (Zhang et al. 2018): share * own + (1 - share) * other, for both images and targets.
    CutMix (Yun et al. 2019): a box that holds 1 - share of the area shows the other image; it is
    cut off at the border, and the weight of the targets is the area actually shown. The share is
    drawn for each example from Beta(alpha, alpha), and the others are a random permutation of the
    batch.

    Args:
      images: float32 `[B, H, W, C]`; for mixup alone `[B, *spatial, C]`.
      targets: float32 `[B, K]`.
      mixup: alpha; 0 leaves mixup out.
      cutmix: likewise.
    """
    coin_key, other_key, mixup_key, cutmix_key = jax.random.split(key, 4)
    other = jax.random.permutation(other_key, images.shape[0])
    if mixup and cutmix:
        kept, share = jax.lax.cond(
            jax.random.bernoulli(coin_key),
            lambda: _mixup(mixup_key, images, mixup),
            lambda: _cutmix(cutmix_key, images, cutmix),
        )
    elif mixup:
        kept, share = _mixup(mixup_key, images, mixup)
    else:
        kept, share = _cutmix(cutmix_key, images, cutmix)
    images = kept * images + (1.0 - kept) * images[other]
    targets = share[:, None] * targets + (1.0 - share[:, None]) * targets[other]
    return images, targets


def _mixup(key: jax.Array, images: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    """Returns how much is kept of each position `[B, *spatial, 1]` and of each target `[B]`."""
    share = jax.random.beta(key, alpha, alpha, (images.shape[0],))
    spread = share.reshape(-1, *(1,) * (images.ndim - 1))
    return jnp.broadcast_to(spread, (*images.shape[:-1], 1)), share


def _cutmix(key: jax.Array, images: jax.Array, alpha: float) -> tuple[jax.Array, jax.Array]:
    """Returns the same as `_mixup`."""
    share_key, box_key = jax.random.split(key)
    side = jnp.sqrt(1.0 - jax.random.beta(share_key, alpha, alpha, (images.shape[0],)))
    height, width = images.shape[1:3]
    heights = jnp.round(side * height).astype(jnp.int32)
    widths = jnp.round(side * width).astype(jnp.int32)
    kept = 1.0 - random_box(box_key, (height, width), heights, widths).astype(jnp.float32)
    return kept, kept.mean(axis=(1, 2, 3))
