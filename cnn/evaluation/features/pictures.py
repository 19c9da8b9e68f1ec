"""Pictures of filters, maps and images, made of tiles `[h, w, 3]` with values in [0, 1]."""

from collections.abc import Sequence

import numpy as np
from PIL import Image


def scaled_to_colours(values: np.ndarray) -> np.ndarray:
    """Scales values to [0, 1], with three colour channels."""
    low, high = values.min(), values.max()
    return in_colour((values - low) / max(high - low, 1e-12))


def in_colour(values: np.ndarray) -> np.ndarray:
    """Broadcasts grey values `[h, w, 1]` to three colour channels."""
    return np.broadcast_to(values, (*values.shape[:2], 3))


def strongest_channels(maps: np.ndarray, channels: int) -> list[np.ndarray]:
    """Returns tiles of the channels of largest mean of maps `[B, h, w, C]`, image by image."""
    order = np.argsort(-maps.mean((0, 1, 2)), kind="stable")[:channels]
    return [scaled_to_colours(one[..., i : i + 1]) for one in maps for i in order]


def images_beside(images: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Returns a grid of images `[B, H, W, C]`, each beside its overlay with the map `[B, h, w]`."""
    pairs = zip(images, seen, strict=True)
    tiles = [
        tile for image, map_ in pairs for tile in (in_colour(image / 255), _light(image, map_))
    ]
    return grid(tiles)


def _light(image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Overlays a map `[h, w]` on the image in grey."""
    size = image.shape[1::-1]
    wide = Image.fromarray(seen.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    light = np.asarray(wide)[..., None] / max(float(seen.max()), 1e-12)
    grey = in_colour(image.astype(np.float64).mean(-1, keepdims=True) / 255)
    return grey * (1 - 0.6 * light) + 0.6 * light * np.array([1.0, 0.55, 0.08])


def grid(tiles: Sequence[np.ndarray], columns: int = 8) -> np.ndarray:
    """Arranges tiles in rows, separated by white lines; a strip of frames takes a row."""
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
    """Returns values in [0, 1] as a picture, small ones enlarged by an integer factor."""
    picture = Image.fromarray(np.round(sheet.clip(0, 1) * 255).astype(np.uint8))
    scale = max(1, 640 // picture.width)
    return picture.resize([n * scale for n in picture.size], Image.Resampling.NEAREST)
