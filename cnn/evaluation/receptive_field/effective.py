"""The effective receptive field: the influence of each input position on a unit."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn.evaluation.feature_maps import feature_maps

# Threshold relative to the maximum: the mass of a Gaussian beyond two standard deviations, which
# Luo et al. call 1 - 95.45 %.
SHARE = 1 - 0.9545


def effective_field(
    model: nn.Module,
    variables: Any,
    batches: Any,
    layer: str,
    show: Callable[[int], None] = lambda images: None,
) -> np.ndarray:
    """Returns the mean absolute gradient of a layer's centre unit with respect to each position.

    Luo, Li, Urtasun & Zemel, "Understanding the Effective Receptive Field in Deep Convolutional
    Neural Networks" (NeurIPS 2016): a gradient of one at the centre of the layer's output, in all
    channels, and zero elsewhere is backpropagated to the input of each image, and its absolute
    value is averaged over images and input channels. Evaluation mode.

    Args:
      model: called as `model(x, train)`.
      variables: of the model.
      batches: of normalised images `[B, *spatial, C]`.
      layer: name of a block with output `[B, *spatial, C]`.
      show: called with the number of images done.

    Returns:
      float64 `[*spatial]`.
    """

    def unit(images: jax.Array, variables: Any) -> jax.Array:
        maps = feature_maps(model)(variables, images)[layer]
        middle = tuple(n // 2 for n in maps.shape[1:-1])
        return maps[(slice(None), *middle)].astype(jnp.float32).sum()

    @jax.jit
    def total(variables: Any, images: jax.Array) -> jax.Array:
        return jnp.abs(jax.grad(unit)(images, variables)).mean(-1).sum(0)

    field, count = 0.0, 0
    for images in batches:
        field = field + np.asarray(total(variables, images), np.float64)
        count += len(images)
        show(count)
    return field / count


def field_size(field: np.ndarray) -> float:
    """Returns the side of a square with as many positions as exceed 4.55 % of the maximum.

    In 1-D it is an interval, in 3-D a cube. Luo et al. report sqrt(number of pixels) in 2-D. 0 if
    the gradient is zero.
    """
    largest = field.max()
    count = int((field > SHARE * largest).sum()) if largest > 0 else 0
    return float(count ** (1 / field.ndim))
