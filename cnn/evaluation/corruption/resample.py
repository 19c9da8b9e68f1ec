"""Resampling shared by several corruptions: linear zoom and motion blur."""

import math
from functools import cache

import numpy as np


def zoomed(x: np.ndarray, factor: float) -> np.ndarray:
    """Magnifies the centre of `[B, H, W, C]` by linear interpolation, keeping the size.

    Along an axis of n elements, the middle m = ceil(n / factor) are interpolated, end to end, to
    round(factor m), of which the middle n are kept.
    """
    rows, columns = (_zoom_matrix(n, float(factor)) for n in x.shape[1:3])
    return np.einsum("ih,bhwc,jw->bijc", rows, x, columns, optimize=True)


@cache
def _zoom_matrix(n: int, factor: float) -> np.ndarray:
    """Returns the linear map `[n, n]` of one axis."""
    taken = math.ceil(n / factor)
    made = round(taken * factor)
    first, trim = (n - taken) // 2, (made - n) // 2
    places = (np.arange(n) + trim) * (taken - 1) / max(made - 1, 1)
    low = np.minimum(places.astype(int), max(taken - 2, 0))
    matrix = np.zeros((n, n))
    matrix[np.arange(n), first + low] += 1 - (places - low)
    matrix[np.arange(n), np.minimum(first + low + 1, n - 1)] += places - low
    return matrix


def smeared(x: np.ndarray, radius: float, sigma: float, angles: np.ndarray) -> np.ndarray:
    """Motion blur of images `[B, H, W, C]` as in ImageMagick, with one direction per image.

    Averages 2 * radius + 1 pixels in one direction, starting with the pixel itself, with the
    weights of half a Gaussian. Border values are repeated outside the image.

    Args:
      x: images.
      radius: in pixels.
      sigma: of the Gaussian, in pixels.
      angles: in degrees, `[B]`.
    """
    steps = np.arange(int(2 * radius + 1))
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    turned = np.deg2rad(angles)[:, None]
    down = np.ceil(steps * np.sin(turned) - 0.5).astype(int)
    across = np.ceil(steps * np.cos(turned) - 0.5).astype(int)
    height, width = x.shape[1:3]
    images = np.arange(len(x))[:, None, None]
    total = np.zeros(x.shape)
    for i, weight in enumerate(weights / weights.sum()):
        rows = np.clip(np.arange(height) + down[:, i, None], 0, height - 1)
        columns = np.clip(np.arange(width) + across[:, i, None], 0, width - 1)
        total += weight * x[images, rows[:, :, None], columns[:, None, :]]
    return total
