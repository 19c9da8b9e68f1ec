"""The 15 corruptions at five severities; the same for an image in any batch."""

import zlib
from collections.abc import Callable

import numpy as np

from cnn.config.errors import UserError
from cnn.config.registry import Registry
from cnn.evaluation.corruption import blur, digital, noise, weather
from cnn.evaluation.corruption.parameters import table_for

SEVERITIES = (1, 2, 3, 4, 5)
FILED_QUALITY = 85  # of ImageNet-C's files, as the authors' code saves them
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
    """Corrupts images as CIFAR-10-C and ImageNet-C are made (Hendrycks & Dietterich, ICLR 2019).

    In the parameters of `table_for`'s benchmark at any size. The generators' draws differ from the
    authors', so results agree with published ones up to noise; those of `frost` do not (see there).
    CIFAR-10-C's files hold what this returns; ImageNet-C's are JPEG, see `as_filed`.

    Args:
      images: uint8 `[B, H, W, C]` with 1 or 3 channels.
      name: of the corruption.
      severity: 1 to 5.
      indices: `[B]`, the examples' places in their split, which seed the noise.

    Returns:
      uint8 `[B, H, W, C]`, rounded down as the benchmarks are.

    Raises:
      UserError: no such corruption or severity, or images that cannot be corrupted.
    """
    apply = CORRUPTIONS.look_up(name, "--suite=corruption")
    if severity not in SEVERITIES:
        raise UserError(f"--suite=corruption: no severity {severity}; allowed: 1 to 5")
    check_images(images.shape[1:])
    parameters = table_for(*images.shape[1:3])[1][name][severity - 1]
    seed = (zlib.crc32(name.encode()), severity)
    rngs = [np.random.default_rng((*seed, int(index))) for index in indices]
    corrupted = np.clip(apply(images / 255.0, parameters, rngs), 0, 1) * 255
    # Whole numbers may come out slightly smaller by rounding.
    return np.floor(corrupted + 1e-6).astype(np.uint8)


def as_filed(images: np.ndarray) -> np.ndarray:
    """Returns corrupted images as ImageNet-C's files hold them: JPEG of quality 85.

    Args:
      images: uint8 `[B, H, W, C]` that `corrupt` returned.
    """
    return digital.saved_as_jpeg(images, FILED_QUALITY)


def check_images(shape: tuple[int, ...]) -> None:
    """Refuses images that corruptions are not defined for.

    Raises:
      UserError: too small, or neither grey nor colour.
    """
    if len(shape) != 3 or shape[2] not in (1, 3) or min(shape[:2]) < LEAST_SIZE:
        raise UserError(
            f"--suite=corruption: images of shape {'x'.join(map(str, shape))} cannot be corrupted; "
            f"use grey or colour images of at least {LEAST_SIZE} pixels"
        )
