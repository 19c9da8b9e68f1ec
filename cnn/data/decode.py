"""From encoded bytes to uint8 pixels of one shape."""

from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import simplejpeg

from cnn.config.errors import UserError
from cnn.data.split import Crop

# Decoding runs in threads of ours; OpenCV's own would compete with them for the same cores.
cv2.setNumThreads(1)
# A broken image is an error here, with its name; the warning beside it has none.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class ImageForm:
    """The shape every decoded image gets.

    Attributes:
      channels: 1 (grey) or 3 (colour); stored images are converted.
      size: height and width in pixels; the centre square is resized to it, by area when it shrinks
        and linearly when it grows. 0: as stored.
      stored: height and width as stored; None where images differ.
    """

    channels: int
    size: int
    stored: tuple[int | None, int | None] = (None, None)
    dtype: ClassVar[np.dtype] = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels of a decoded image."""
        return (*((self.size, self.size) if self.size else self.stored), self.channels)

    @property
    def varying(self) -> bool:
        """Whether the stored images differ in size."""
        return None in self.stored

    def decode(self, encoded: bytes, where: str, crop: Crop | None = None) -> np.ndarray:
        """Returns uint8 pixels `[H, W, C]`; orientation tags are ignored.

        Args:
          encoded: a whole PNG or JPEG file, or another format that OpenCV reads.
          where: what messages call the image.
          crop: part to keep instead of the centre; needs a `size`.

        Raises:
          UserError: the bytes are not an image, naming `where`.
        """
        image = decode_image(encoded, self.channels, where)
        if not self.size:
            return image
        return resized(image, (crop or centre_square)(*image.shape[:2]), self.size)


def decode_image(encoded: bytes, channels: int, where: str) -> np.ndarray:
    """Returns uint8 pixels `[H, W, channels]`, RGB or grey; see `ImageForm.decode`."""
    image = _pixels(encoded, channels == 3)
    if image is None:
        raise UserError(f"{where}: not a readable image; replace or remove it")
    return image if image.ndim == 3 else image[..., None]


def _pixels(encoded: bytes, colour: bool) -> np.ndarray | None:
    """Returns all pixels, or None where the bytes are no image."""
    if encoded.startswith(_JPEG):
        # The same library as inside OpenCV, to the same pixels, and without its detours.
        with suppress(ValueError):
            return simplejpeg.decode_jpeg(encoded, "RGB" if colour else "GRAY")
    if not encoded:
        return None
    flags = cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE
    buffer = np.frombuffer(encoded, np.uint8)
    return cv2.imdecode(buffer, flags | cv2.IMREAD_IGNORE_ORIENTATION)


def centre_square(height: int, width: int) -> tuple[int, int, int, int]:
    """Returns top, left, height and width of the largest square in the centre of an image."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def resized(image: np.ndarray, box: tuple[int, int, int, int], size: int) -> np.ndarray:
    """Returns a part of an image, from `centre_square` or `crop_box`, as `[size, size, C]`."""
    top, left, height, width = box
    image = image[top : top + height, left : left + width]
    if image.shape[:2] == (size, size):
        return image
    shrinks = size * size < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small = cv2.resize(image, (size, size), interpolation=method)
    return small if small.ndim == 3 else small[..., None]
