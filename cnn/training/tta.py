"""Test-time augmentation: logits averaged over several views of an image."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

Logits = Callable[[dict[str, Any], Array], Array]


def with_views(logits: Logits, views: str) -> Logits:
    """Returns (variables, inputs `[B, H, W, C]`) -> logits `[B, K]`, averaged over views.

    Args:
      logits: of a network.
      views: "none": the images as they are; "mirror": and mirrored left to right;
        "mirror_translate": half the weight on these two, half on both of the image moved by one
        pixel towards either corner of the main diagonal, over mirrored borders (airbench94, Jordan
        2024).
    """
    if views == "none":
        return logits

    def both(variables: dict[str, Any], inputs: Array) -> Array:
        return (logits(variables, inputs) + logits(variables, inputs[:, :, ::-1])) / 2

    if views == "mirror":
        return both

    def moved_too(variables: dict[str, Any], inputs: Array) -> Array:
        height, width = inputs.shape[1:3]
        padded = jnp.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        moved = [padded[:, i : i + height, i : i + width] for i in (0, 2)]
        return both(variables, inputs) / 2 + sum(both(variables, each) for each in moved) / 4

    return moved_too
