"""Inflates an image network to a video network (I3D: Carreira and Zisserman, CVPR 2017, 2.4.1)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# Levels of paths that say how layers are nested, and differ between networks of images and clips.
_NESTING = ("block", "conv", "shortcut")


def inflated(
    tensors: Mapping[str, np.ndarray], wanted: Mapping[str, Any], form: str
) -> dict[str, np.ndarray]:
    """Returns the tensors of an image network, inflated to those of a video network.

    On a clip of identical frames the video network then computes the output of the image network
    on that frame: with "centre" for any padding, with "mean" if no window reaches beyond the
    clip or the padding is circular.

    Args:
      tensors: by path.
      wanted: arrays of the network of clips by path, for their shapes.
      form: "mean": kernels repeated along time and divided by its length; "centre": the kernel at
        the middle frame, zeros at the others.

    Returns:
      By the path of the network of clips; what has no counterpart keeps its path and shape.
    """
    places = {_place(name): name for name in wanted}
    found = {}
    for name, tensor in tensors.items():
        ours = places.get(_place(name), name)
        shape = wanted[ours].shape if ours in wanted else ()
        found[ours] = _over_time(tensor, shape[0], form) if shape[1:] == tensor.shape else tensor
    return found


def _over_time(kernel: np.ndarray, frames: int, form: str) -> np.ndarray:
    if form == "mean":
        return np.broadcast_to(kernel / np.float32(frames), (frames, *kernel.shape))
    whole = np.zeros((frames, *kernel.shape), kernel.dtype)
    whole[frames // 2] = kernel
    return whole


def _place(name: str) -> tuple[str, ...]:
    """Returns a path without the levels that differ between the two kinds of network."""
    levels = [level for level in name.split("/") if level not in _NESTING]
    # The only convolution of a stem has a number in one of images.
    return tuple(e for i, e in enumerate(levels) if (levels[i - 1], e) != ("stem", "conv1"))
