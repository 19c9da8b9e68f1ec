"""Where the blocks of a network are, and what their outputs look like beside its input."""

from typing import Any

import flax.linen as nn

from cnn.models.framewise import FrameWise


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
