"""Digital corruptions of float images `[B, H, W, C]` in [0, 1]; one generator per image."""

from collections.abc import Callable
from functools import partial
from io import BytesIO

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from cnn.evaluation.corruption.noise import Generators


def contrast(x: np.ndarray, factor: float, rngs: Generators) -> np.ndarray:
    """Scales the difference of every value from its channel's mean over the image."""
    mean = x.mean((1, 2), keepdims=True)
    return (x - mean) * factor + mean


def elastic_transform(
    x: np.ndarray, strength: tuple[float, float, float], rngs: Generators
) -> np.ndarray:
    """Applies a random affine map, then displaces every pixel by a smooth random field.

    `strength` is (scale of the field, its sigma, largest displacement of the three points that
    define the affine map), in fractions of the shorter side.
    """
    pixels = [share * min(x.shape[1:3]) for share in strength]
    return np.stack([_elastic(i, *pixels, rng) for i, rng in zip(x, rngs, strict=True)])


def _elastic(
    image: np.ndarray, alpha: float, sigma: float, reach: float, rng: np.random.Generator
) -> np.ndarray:
    size = image.shape[:2]
    centre, third = np.float32(size) // 2, min(size) // 3
    corners = [centre + third, (centre[0] + third, centre[1] - third), centre - third]
    before = np.array(corners, np.float32)
    after = before + rng.uniform(-reach, reach, before.shape).astype(np.float32)
    affine = cv2.getAffineTransform(before, after)
    moved = cv2.warpAffine(image, affine, size[::-1], borderMode=cv2.BORDER_REFLECT_101)
    fields = rng.uniform(-1, 1, (2, *size))
    across, down = (
        alpha * gaussian_filter(f, sigma, mode="reflect", truncate=3) if alpha else 0 * f
        for f in fields
    )
    rows, columns = np.indices(size)
    places = np.stack([rows + down, columns + across])
    moved = moved.reshape(image.shape)
    channels = [
        map_coordinates(c, places, order=1, mode="reflect") for c in moved.transpose(2, 0, 1)
    ]
    return np.stack(channels, -1)


def pixelate(x: np.ndarray, share: float, rngs: Generators) -> np.ndarray:
    """Resizes to a fraction of the side lengths and back, with a box filter."""
    height, width = x.shape[1:3]
    small = (max(1, int(width * share)), max(1, int(height * share)))
    return _through_pillow(
        x, lambda i: i.resize(small, Image.BOX).resize((width, height), Image.BOX)
    )


def jpeg_compression(x: np.ndarray, quality: int, rngs: Generators) -> np.ndarray:
    """Encodes as JPEG of the given quality, and decodes."""
    return _through_pillow(x, partial(_round_trip, quality=quality))


def saved_as_jpeg(images: np.ndarray, quality: int) -> np.ndarray:
    """Encodes uint8 images `[B, H, W, C]` as JPEG of the given quality, and decodes them."""
    return _changed(images, partial(_round_trip, quality=quality))


def _round_trip(image: Image.Image, quality: int) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def _through_pillow(x: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    return _changed(np.rint(x * 255).astype(np.uint8), change) / 255


def _changed(pixels: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    squeezed = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    changed = [np.asarray(change(Image.fromarray(image))) for image in squeezed]
    return np.stack(changed).reshape(pixels.shape)
