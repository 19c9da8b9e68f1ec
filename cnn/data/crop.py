"""Random resized crops: boxes from random numbers, with NumPy while decoding or JAX on devices."""

from types import ModuleType
from typing import Any

import numpy as np

from cnn.data.order import random_bits
from cnn.data.split import Crop

ATTEMPTS = 10
UNIFORMS = 2 * ATTEMPTS + 2  # random numbers one box takes
_LOG_RATIO = float(np.log(4 / 3))  # width over height lies in [3/4, 4/3]


def crop_box(
    uniforms: Any, height: Any, width: Any, area: tuple[float, float], xp: ModuleType
) -> tuple[Any, Any, Any, Any]:
    """Returns top, left, height and width of one random box, as floats with integer values.

    The Inception crop (Szegedy et al. 2015) as it is commonly run: a share of the area, uniform in
    `area`, and an aspect ratio, log-uniform in [3/4, 4/3], drawn up to ten times until the box
    fits; otherwise the largest box of a permitted ratio. Its position is uniform (for that last
    resort, the centre, as for every other image after resizing).

    Args:
      uniforms: `[UNIFORMS]` in [0, 1).
      height, width: of the image in pixels.
      area: smallest and largest share of the area.
      xp: numpy or jax.numpy.
    """
    share = area[0] + (area[1] - area[0]) * uniforms[:ATTEMPTS]
    ratio = xp.exp(_LOG_RATIO * (2 * uniforms[ATTEMPTS : 2 * ATTEMPTS] - 1))
    widths = xp.round(xp.sqrt(share * height * width * ratio))
    heights = xp.round(xp.sqrt(share * height * width / ratio))
    fits = (widths >= 1) & (heights >= 1) & (widths <= width) & (heights <= height)
    first, found = xp.argmax(fits), xp.any(fits)
    box_height = xp.where(found, heights[first], xp.minimum(height, xp.round(width * 4 / 3)))
    box_width = xp.where(found, widths[first], xp.minimum(width, xp.round(height * 4 / 3)))
    at = xp.where(found, uniforms[2 * ATTEMPTS :], 0.5)
    top = xp.floor(at[0] * (height - box_height + 1))
    left = xp.floor(at[1] * (width - box_width + 1))
    return top, left, box_height, box_width


def decode_crops(seed: int, step: int, batch_size: int, area: tuple[float, float]) -> list[Crop]:
    """Returns the crop of each example of a step's batch, to be taken while decoding."""
    bits = random_bits(seed, "crop", step).random_raw(batch_size * UNIFORMS)
    uniforms = (bits >> np.uint64(11)).astype(np.float64).reshape(batch_size, UNIFORMS) / 2.0**53
    return [_crop(row, area) for row in uniforms]


def _crop(uniforms: np.ndarray, area: tuple[float, float]) -> Crop:
    def crop(height: int, width: int) -> tuple[int, int, int, int]:
        top, left, box_height, box_width = crop_box(uniforms, height, width, area, np)
        return int(top), int(left), int(box_height), int(box_width)

    return crop
