"""Smooth random deformations of images by thin-plate splines."""

from itertools import product

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates

SEED = 0


def spline_weights(height: int, width: int, points: int) -> np.ndarray:
    """Returns the weight of each inner control point in the displacement of each pixel.

    The weights interpolate with a thin-plate spline over an even grid of points x points inner
    control points and the fixed ones on the border.

    Returns:
      float64 `[height * width, points ** 2]`.
    """
    axis = np.linspace(0, 1, points + 2)
    grid = np.array(list(product(axis, axis)))
    inner = ((grid > 0) & (grid < 1)).all(1)
    shares = np.eye(len(grid))[:, inner]
    down, across = np.linspace(0, 1, height), np.linspace(0, 1, width)
    pixels = np.array(list(product(down, across)))
    return RBFInterpolator(grid, shares, kernel="thin_plate_spline")(pixels)


def bent(
    images: np.ndarray, places: np.ndarray, weights: np.ndarray, displacement: float
) -> np.ndarray:
    """Deforms each image at random, seeded by its index in the split.

    The displacement of every control point is uniform over a disc. Pixels are interpolated
    bilinearly, with border values repeated outside the image.

    Args:
      images: `[B, H, W, C]`.
      places: indices in the split, int `[B]`.
      weights: see `spline_weights`.
      displacement: radius of the disc, in pixels.

    Returns:
      float32 `[B, H, W, C]`.
    """
    _, height, width, _ = images.shape
    still = np.mgrid[:height, :width]
    result = np.empty(images.shape, np.float32)
    for i, place in enumerate(places):
        rng = np.random.default_rng((SEED, int(place)))
        radius = displacement * np.sqrt(rng.uniform(size=weights.shape[1]))
        angle = rng.uniform(0, 2 * np.pi, weights.shape[1])
        moves = weights @ np.stack([radius * np.sin(angle), radius * np.cos(angle)], 1)
        at = still + moves.T.reshape(2, height, width)
        for channel in range(images.shape[3]):
            plane = images[i, ..., channel].astype(np.float32)
            result[i, ..., channel] = map_coordinates(plane, at, order=1, mode="nearest")
    return result
