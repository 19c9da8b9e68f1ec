"""Blurs of float images `[B, H, W, C]` in [0, 1], with parameters and one generator per image."""

from functools import cache

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from cnn.evaluation.corruption.noise import Generators
from cnn.evaluation.corruption.resample import smeared, zoomed


def defocus_blur(x: np.ndarray, disc: tuple[float, float], rngs: Generators) -> np.ndarray:
    """Averages over a disc (radius and softening sigma in pixels), with reflected borders."""
    kernel = _disc(*disc)
    blurred = [cv2.filter2D(image, -1, kernel).reshape(image.shape) for image in x]
    return np.stack(blurred)


@cache
def _disc(radius: float, softening: float) -> np.ndarray:
    half, window = (8, 3) if radius <= 8 else (int(radius), 5)
    places = np.arange(-half, half + 1)
    inside = (places[:, None] ** 2 + places[None] ** 2 <= radius**2).astype(np.float64)
    return cv2.GaussianBlur(inside / inside.sum(), (window, window), softening)


def glass_blur(x: np.ndarray, glass: tuple[float, int, int], rngs: Generators) -> np.ndarray:
    """Blurs (sigma), replaces pixels by nearby ones (reach, passes), and blurs again.

    As in the authors' code, pixels are visited from the bottom right, and the source pixel is
    -reach to reach - 1 away on each axis. The paper describes a swap; in the code that made the
    benchmarks, and here, the source pixel keeps its value.
    """
    sigma, reach, passes = glass
    x = np.floor(_gaussian(x, sigma) * 255) / 255
    height, width = x.shape[1:3]
    rows, columns = range(height - reach, reach, -1), range(width - reach, reach, -1)
    images = np.arange(len(x))
    for _ in range(passes):
        size = (len(rows), len(columns), 2)
        moves = np.stack([rng.integers(-reach, reach, size) for rng in rngs])
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                across, down = moves[:, i, j].T
                x[:, row, column] = x[images, row + down, column + across]
    return _gaussian(x, sigma)


def _gaussian(x: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(x, (0, sigma, sigma, 0), mode="nearest", truncate=4)


def motion_blur(x: np.ndarray, smear: tuple[float, float], rngs: Generators) -> np.ndarray:
    """Motion blur (radius, sigma) along a random direction between -45 and 45 degrees."""
    return smeared(x, *smear, np.array([rng.uniform(-45, 45) for rng in rngs]))


def zoom_blur(x: np.ndarray, zooms: tuple[float, int], rngs: Generators) -> np.ndarray:
    """Averages the image and `count` zooms of it by 1, 1 + step, and so on (step, count)."""
    step, count = zooms
    return (x + sum(zoomed(x, 1 + step * i) for i in range(count))) / (count + 1)
