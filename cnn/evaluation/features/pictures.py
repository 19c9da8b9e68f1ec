"""Filters, maps and images as tiles of one picture. Tiles are `[h, w, 3]` of values in [0, 1]."""

from collections.abc import Sequence

import numpy as np
from PIL import Image


def scaled_to_colours(values: np.ndarray) -> np.ndarray:
    """Scales values to [0, 1], and gives them three colours."""
    low, high = values.min(), values.max()
    return in_colour((values - low) / max(high - low, 1e-12))


def in_colour(values: np.ndarray) -> np.ndarray:
    """Gives grey values `[h, w, 1]` three colours."""
    return np.broadcast_to(values, (*values.shape[:2], 3))


def strongest_channels(maps: np.ndarray, channels: int) -> list[np.ndarray]:
    """Tiles of the strongest channels of maps `[B, h, w, C]`, image by image."""
    order = np.argsort(-maps.mean((0, 1, 2)), kind="stable")[:channels]
    return [scaled_to_colours(one[..., i : i + 1]) for one in maps for i in order]


def images_beside(images: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Each image `[H, W, C]`, and beside it what is seen `[h, w]` as light over it."""
    pairs = zip(images, seen, strict=True)
    tiles = [
        tile for image, map_ in pairs for tile in (in_colour(image / 255), _light(image, map_))
    ]
    return grid(tiles)


def _light(image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Lays what is seen over the image in grey."""
    size = image.shape[1::-1]
    wide = Image.fromarray(seen.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    light = np.asarray(wide)[..., None] / max(float(seen.max()), 1e-12)
    grey = in_colour(image.astype(np.float64).mean(-1, keepdims=True) / 255)
    return grey * (1 - 0.6 * light) + 0.6 * light * np.array([1.0, 0.55, 0.08])


def grid(tiles: Sequence[np.ndarray], columns: int = 8) -> np.ndarray:
    """Puts tiles `[h, w, 3]` of values in [0, 1] in rows, a white line between them.

    Strips of frames are as wide as a row.
    """
    height, width = tiles[0].shape[:2]
    columns = 1 if width > 4 * height else columns
    rows = -(-len(tiles) // columns)
    across = min(columns, len(tiles))
    sheet = np.ones((rows * (height + 1) - 1, across * (width + 1) - 1, 3))
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def enlarged(sheet: np.ndarray) -> Image.Image:
    """Returns a sheet of values in [0, 1] as a picture whose pixels are squares to look at."""
    picture = Image.fromarray(np.round(sheet.clip(0, 1) * 255).astype(np.uint8))
    scale = max(1, 640 // picture.width)
    return picture.resize([n * scale for n in picture.size], Image.Resampling.NEAREST)
