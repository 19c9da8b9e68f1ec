"""Class activation maps and Grad-CAM."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cnn.evaluation.feature_maps import beside, block_path


def class_maps(
    model: nn.Module, variables: Any, images: Array, layer: str
) -> tuple[Array, Array, Array]:
    """Returns predictions, the feature maps of a layer, and Grad-CAM of the predicted class.

    Grad-CAM (Selvaraju et al., ICCV 2017) is relu(sum_k a_k A_k), where a_k is the mean over all
    positions of the derivative of the class logit with respect to channel k of the layer's output
    A. With global average pooling and a linear classifier, it is the positive part of the class
    activation map of Zhou et al. (CVPR 2016) divided by the number of positions.

    Args:
      model: called as `model(x, train)`.
      variables: of the model.
      images: normalised, `[B, *spatial, C]`.
      layer: a block of the model, see `feature_maps`.

    Returns:
      Predictions int32 `[B]`, maps float32 `[B, *positions, K]` and Grad-CAM float32
      `[B, *positions]`.
    """
    found: list[Array] = []

    def logits(added: Array | float) -> Array:
        def note(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            result = call(*args, **kwargs)
            block = block_path(model, context.module.path)
            if block != (layer,) or context.method_name != "__call__":
                return result
            leaves, tree = jax.tree.flatten(result)
            leaves[0] = leaves[0] + added
            found.append(leaves[0])
            return jax.tree.unflatten(tree, leaves)

        with nn.intercept_methods(note):
            return model.apply(variables, images, False)

    prediction = logits(0.0).argmax(-1)
    maps = found[0]

    def score(added: Array) -> Array:
        return jnp.take_along_axis(logits(added), prediction[:, None], 1).sum()

    slopes = beside(model, jax.grad(score)(jnp.zeros_like(maps)), len(images))
    maps = beside(model, maps, len(images))
    weights = slopes.mean(tuple(range(1, slopes.ndim - 1)), keepdims=True, dtype=jnp.float32)
    seen = jax.nn.relu((weights * maps).sum(-1))
    return prediction.astype(jnp.int32), maps.astype(jnp.float32), seen
