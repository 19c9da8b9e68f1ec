"""A receptive field drawn over an image."""

import numpy as np
from PIL import Image


def field_over_image(image: np.ndarray, field: np.ndarray) -> Image.Image:
    """Draws a field `[H, W]` in orange over an image `[H, W, C]` in grey."""
    grey = image.astype(np.float64).mean(-1, keepdims=True) * 0.5
    light = (field / max(field.max(), 1e-30))[..., None] ** 0.5
    colour = np.array([255.0, 140.0, 20.0])
    mixed = grey * (1 - light) + colour * light
    picture = Image.fromarray(np.round(mixed).astype(np.uint8))
    # A strip of frames is as wide as the page.
    widest = 768 if picture.width > 4 * picture.height else 224
    scale = max(1, widest // max(picture.size))
    return picture.resize([n * scale for n in picture.size], Image.Resampling.NEAREST)
