"""The 15 corruptions at five severities, reproducible per image and independent of its batch."""

import zlib
from collections.abc import Callable

import numpy as np

from cnn.config.errors import UserError
from cnn.config.registry import Registry
from cnn.evaluation.corruption import blur, digital, noise, weather
from cnn.evaluation.corruption.parameters import table_for

SEVERITIES = (1, 2, 3, 4, 5)
FILED_QUALITY = 85  # JPEG quality of ImageNet-C's files, as in the authors' code
LEAST_SIZE = 8  # pixels; blurs and zooms are meaningless for smaller images
CORRUPTIONS: Registry[Callable[..., np.ndarray]] = Registry("corruption")

for _corruption in (
    noise.gaussian_noise,
    noise.shot_noise,
    noise.impulse_noise,
    blur.defocus_blur,
    blur.glass_blur,
    blur.motion_blur,
    blur.zoom_blur,
    weather.snow,
    weather.frost,
    weather.fog,
    weather.brightness,
    digital.contrast,
    digital.elastic_transform,
    digital.pixelate,
    digital.jpeg_compression,
):
    CORRUPTIONS.add(_corruption.__name__, _corruption)


def corrupt(images: np.ndarray, name: str, severity: int, indices: np.ndarray) -> np.ndarray:
    """Corrupts images as in CIFAR-10-C and ImageNet-C (Hendrycks & Dietterich, ICLR 2019).

    Images of any size get the parameters of the benchmark in `table_for`. The random draws differ
    from the authors', so results agree with published ones up to noise, except for `frost` (see
    there). CIFAR-10-C stores such images as they are, ImageNet-C as JPEG, see `as_filed`.

    Args:
      images: uint8 `[B, H, W, C]` with 1 or 3 channels.
      name: of the corruption.
      severity: 1 to 5.
      indices: indices of the examples in their split `[B]`, which seed the noise.

    Returns:
      uint8 `[B, H, W, C]`, rounded down as in the benchmarks.

    Raises:
      UserError: the corruption or severity is unknown, or the images cannot be corrupted.
    """
    apply = CORRUPTIONS.look_up(name, "--suite=corruption")
    if severity not in SEVERITIES:
        raise UserError(f"--suite=corruption: no severity {severity}; allowed: 1 to 5")
    check_images(images.shape[1:])
    parameters = table_for(*images.shape[1:3])[1][name][severity - 1]
    seed = (zlib.crc32(name.encode()), severity)
    rngs = [np.random.default_rng((*seed, int(index))) for index in indices]
    corrupted = np.clip(apply(images / 255.0, parameters, rngs), 0, 1) * 255
    # Rounding errors can make whole numbers slightly smaller.
    return np.floor(corrupted + 1e-6).astype(np.uint8)


def as_filed(images: np.ndarray) -> np.ndarray:
    """Compresses corrupted images as in ImageNet-C's files, JPEG of quality 85.

    Args:
      images: uint8 `[B, H, W, C]` from `corrupt`.
    """
    return digital.saved_as_jpeg(images, FILED_QUALITY)


def check_images(shape: tuple[int, ...]) -> None:
    """Raises a `UserError` for images that are too small, or neither grey nor colour."""
    if len(shape) != 3 or shape[2] not in (1, 3) or min(shape[:2]) < LEAST_SIZE:
        raise UserError(
            f"--suite=corruption: images of shape {'x'.join(map(str, shape))} cannot be corrupted; "
            f"use grey or colour images of at least {LEAST_SIZE} pixels"
        )
