"""Weather corruptions of float images `[B, H, W, C]` in [0, 1], with one generator per image.

The textures of fog, snow and frost are generated.
"""

from functools import cache

import cv2
import numpy as np

from cnn.evaluation.corruption.noise import Generators
from cnn.evaluation.corruption.resample import smeared, zoomed

_GREY = np.array([0.299, 0.587, 0.114])
_ICE = np.array([0.80, 0.90, 1.0])  # red, green, blue
_TEXTURE = 1024  # pixels, side of the frost


def snow(x: np.ndarray, flakes: tuple[float, ...], rngs: Generators) -> np.ndarray:
    """Adds motion-blurred snowflakes, and whitens the image.

    `flakes` is (mean and standard deviation of the noise that becomes flakes, its zoom, the
    threshold below which there is no flake, radius and sigma of the motion blur, and the share of
    the image that is kept).
    """
    mean, deviation, zoom, threshold, radius, sigma, kept = flakes
    layer = np.stack([rng.normal(mean, deviation, x.shape[1:3]) for rng in rngs])[..., None]
    layer = zoomed(layer, zoom)
    layer = np.floor(np.clip(np.where(layer < threshold, 0, layer), 0, 1) * 255) / 255
    layer = smeared(layer, radius, sigma, np.array([rng.uniform(-135, -45) for rng in rngs]))
    grey = x @ _GREY[:, None] if x.shape[-1] == 3 else x
    white = kept * x + (1 - kept) * np.maximum(x, 1.5 * grey + 0.5)
    return white + layer + layer[:, ::-1, ::-1]


def frost(x: np.ndarray, mixture: tuple[float, float], rngs: Generators) -> np.ndarray:
    """Mixes the image with a random crop of a frost texture (weights of image and frost).

    The benchmarks use six photographs of frost, which have no licence. The texture here is
    generated, so results can be compared between networks but not with published ones.
    """
    share, frosted = mixture
    height, width, channels = x.shape[1:]
    texture = frost_texture(0.2 if min(height, width) < 128 else 1.0)
    texture = texture if channels == 3 else texture @ _GREY[:, None]
    side = len(texture)
    pieces = []
    for rng in rngs:
        top, left = rng.integers(0, side, 2)
        rows, columns = (top + np.arange(height)) % side, (left + np.arange(width)) % side
        pieces.append(texture[rows[:, None], columns[None]])
    return share * x + frosted * np.stack(pieces)


@cache
def frost_texture(scale: float) -> np.ndarray:
    """Returns a periodic texture `[n, n, 3]` in [0, 1], n = 1024 * scale: bluish fractal ridges."""
    rng = np.random.default_rng(0)
    ridges = 1 - np.abs(2 * plasma(_TEXTURE, 1.6, [rng])[0] - 1)
    crystals = ridges * (1 - np.abs(2 * plasma(_TEXTURE, 1.15, [rng])[0] - 1))
    texture = np.clip(1.6 * crystals**3, 0, 1)[..., None] ** (1 / (0.6 + _ICE))
    return cv2.resize(texture * (0.6 + 0.4 * _ICE), None, None, scale, scale, cv2.INTER_AREA)


def fog(x: np.ndarray, mist: tuple[float, float], rngs: Generators) -> np.ndarray:
    """Adds plasma noise (strength, decay), and rescales by the image's original maximum."""
    strength, decay = mist
    height, width = x.shape[1:3]
    side = 1 << (max(height, width) - 1).bit_length()
    brightest = x.max((1, 2, 3), keepdims=True)
    clouds = plasma(side, decay, rngs)[:, :height, :width, None]
    return (x + strength * clouds) * brightest / (brightest + strength)


def plasma(side: int, decay: float, rngs: Generators) -> np.ndarray:
    """Returns periodic fractal maps `[B, side, side]` in [0, 1] by the diamond-square algorithm.

    Each level adds uniform noise to the mean of four neighbours, of scale 100^2 on the first level
    and divided by decay^2 from level to level.

    Args:
      side: a power of two.
      decay: above 1; larger values are smoother.
      rngs: one generator per map.
    """
    maps = np.zeros((len(rngs), side, side))
    step, wobble = side, 100.0
    while step >= 2:
        half = step // 2
        corners = maps[:, ::step, ::step]
        across = corners + np.roll(corners, -1, 1)
        centres = (across + np.roll(across, -1, 2)) / 4
        maps[:, half::step, half::step] = centres + _noise(centres.shape, wobble, rngs)
        middles = maps[:, half::step, half::step]
        up = middles + np.roll(middles, 1, 1)
        top = (up + corners + np.roll(corners, -1, 2)) / 4
        maps[:, ::step, half::step] = top + _noise(top.shape, wobble, rngs)
        beside = middles + np.roll(middles, 1, 2)
        left = (beside + corners + np.roll(corners, -1, 1)) / 4
        maps[:, half::step, ::step] = left + _noise(left.shape, wobble, rngs)
        step, wobble = half, wobble / decay
    maps -= maps.min((1, 2), keepdims=True)
    return maps / np.maximum(maps.max((1, 2), keepdims=True), 1e-12)


def _noise(shape: tuple[int, ...], wobble: float, rngs: Generators) -> np.ndarray:
    return wobble * np.stack([rng.uniform(-wobble, wobble, shape[1:]) for rng in rngs])


def brightness(x: np.ndarray, added: float, rngs: Generators) -> np.ndarray:
    """Adds to the value in HSV, keeping hue and saturation."""
    value = x.max(-1, keepdims=True)
    new = np.clip(value + added, 0, 1)
    # Black has no hue, so it becomes grey.
    return np.where(value > 0, x * new / np.where(value > 0, value, 1), new)
