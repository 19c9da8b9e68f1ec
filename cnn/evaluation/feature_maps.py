"""Feature maps: the outputs of a network's blocks."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax import Array

from cnn.models.framewise import FrameWise

Maps = dict[str, Array]


def path_of_blocks(model: nn.Module) -> tuple[str, ...]:
    """Returns the path of the module whose children are the blocks: () unless frame-wise."""
    return ("network",) if isinstance(model, FrameWise) else ()


def block_path(model: nn.Module, path: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the path of a module, starting with its block; () for modules outside all blocks."""
    start = path_of_blocks(model)
    return path[len(start) :] if path[: len(start)] == start else ()


def beside(model: nn.Module, y: Any, batch: int) -> Any:
    """Reshapes the output `[B * T, ...]` of a frame-wise model's block to `[B, T, ...]`.

    Args:
      model: that the block is part of; outputs of other models are returned as they are.
      y: an output, or another array of its shape.
      batch: B, the number of examples that the model was given.
    """
    if not path_of_blocks(model):
        return y
    return y.reshape(batch, y.shape[0] // batch, *y.shape[1:])


def feature_maps(model: nn.Module) -> Callable[[Any, Array], Maps]:
    """Returns (variables, normalised images) -> outputs `[B, h, w, C]` of the model's blocks.

    Blocks are the model's direct submodules, by name and in evaluation mode. For a frame-wise model
    they are those of the network applied to the frames, with outputs `[B, T, h, w, C]`. Of several
    returned arrays or calls, the first is used. Dropout is left out.
    """

    def maps(variables: Any, images: Array) -> Maps:
        _, state = model.apply(
            variables,
            images,
            train=False,
            capture_intermediates=lambda module, method: (
                method == "__call__"
                and len(block_path(model, module.path)) == 1
                and not isinstance(module, nn.Dropout)
            ),
            mutable=["intermediates"],
        )
        found = state["intermediates"]
        for part in path_of_blocks(model):
            found = found[part]
        outputs = {
            name: beside(model, jax.tree.leaves(calls["__call__"][0])[0], len(images))
            for name, calls in found.items()
            if "__call__" in calls
        }
        return {name: y for name, y in outputs.items() if y.ndim == images.ndim}

    return maps
