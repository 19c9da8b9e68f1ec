"""The effective receptive field: the influence of each input on a unit."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn.evaluation.feature_maps import feature_maps

# Of the largest value: what is left two standard deviations from the middle of a Gaussian
# (Luo et al. call it 1 - 95.45 %).
SHARE = 1 - 0.9545


def effective_field(
    model: nn.Module,
    variables: Any,
    batches: Any,
    layer: str,
    show: Callable[[int], None] = lambda images: None,
) -> np.ndarray:
    """Returns the mean absolute gradient of a layer's centre unit by each position.

    Luo, Li, Urtasun & Zemel, "Understanding the Effective Receptive Field in Deep Convolutional
    Neural Networks" (NeurIPS 2016): the gradient is one at the unit in the middle of the layer's
    output, in all channels, and zero elsewhere; it is taken back to the input for each image,
    and its absolute values are averaged over images and colours. Evaluation mode.

    Args:
      model: called as `model(x, train)`.
      variables: of the model.
      batches: of normalised images `[B, *spatial, C]`.
      layer: a submodule of the model that returns `[B, *spatial, C]`.
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
    """Returns the side of a square with as many positions as exceed 4.55 % of the largest.

    Of an interval in 1-D, of a cube in 3-D. Luo et al. report sqrt(number of pixels), in 2-D. 0
    where there is no gradient.
    """
    largest = field.max()
    count = int((field > SHARE * largest).sum()) if largest > 0 else 0
    return float(count ** (1 / field.ndim))
