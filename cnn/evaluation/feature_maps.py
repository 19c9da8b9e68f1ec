"""Feature maps of a network: the outputs of its blocks."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax import Array

from cnn.models.framewise import FrameWise

Maps = dict[str, Array]


def path_of_blocks(model: nn.Module) -> tuple[str, ...]:
    """Returns the path of the module right below which the blocks are: those of frames, or ()."""
    return ("network",) if isinstance(model, FrameWise) else ()


def block_path(model: nn.Module, path: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the path of a module from the block on; () of what is outside of all blocks."""
    start = path_of_blocks(model)
    return path[len(start) :] if path[: len(start)] == start else ()


def beside(model: nn.Module, y: Any, batch: int) -> Any:
    """Returns a block's output as that of `batch` examples: frames `[B * T, ...]` as `[B, T, ...]`.

    Args:
      model: the block's.
      y: of any kind that can be reshaped.
      batch: how many examples the model was given.
    """
    if not path_of_blocks(model):
        return y
    return y.reshape(batch, y.shape[0] // batch, *y.shape[1:])


def feature_maps(model: nn.Module) -> Callable[[Any, Array], Maps]:
    """Returns (variables, normalized images) -> outputs `[B, h, w, C]` of the model's submodules.

    Those directly below the model, by name, in evaluation; of a frame-wise model those of the
    network that sees the frames, `[B, T, h, w, C]`. Of a submodule that returns several arrays the
    first one counts; one that is called several times is taken at its first call. Dropout is left
    out: it does nothing here.
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
