"""Decodes encoded bytes to uint8 pixels of one shape."""

import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, ClassVar

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from cnn.config.errors import UserError
from cnn.data.split import Crop

# Decoding runs in our own threads; OpenCV's would compete with them for the same cores.
cv2.setNumThreads(1)
# A broken image raises an error with its name; OpenCV's warning has no name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
)
_JPEG = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n"
_FORMATS = ("JPEG", "WEBP", "BMP", "TIFF", "GIF")
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")
# What Pillow raises over damaged files, besides what it means to raise.
PILLOW_ERRORS = (OSError, EOFError, SyntaxError, ValueError, LookupError, TypeError, struct.error)
_MOST_PIXELS = 2**28  # of an image; more means a damaged header
_DEEP = "has 16 bits per channel, and images are kept with 8; convert it, scaled to its own range"


@dataclass(frozen=True)
class ImageForm:
    """The shape every decoded image gets.

    Attributes:
      channels: 1 (grey) or 3 (colour); stored images are converted.
      size: height and width in pixels; the centre square is resized to it. 0: as stored.
      stored: height and width as stored; None where images differ.
      interpolation: "area": by area when it shrinks and linearly when it grows (OpenCV); "bilinear"
        or "bicubic": Pillow's, whose filters widen as an image shrinks, as in torchvision.
      crop_ratio: side of the centre square over the shorter side of the image. With Pillow's
        filters it is Resize(size / crop_ratio), then CenterCrop(size) of torchvision, to the bit.
    """

    channels: int
    size: int
    stored: tuple[int | None, int | None] = (None, None)
    interpolation: str = "area"
    crop_ratio: float = 1.0
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
        height, width = image.shape[:2]
        if self.interpolation == "area":
            box = crop(height, width) if crop else centre_square(height, width, self.crop_ratio)
            return resized(image, box, self.size)
        method = Image.Resampling[self.interpolation.upper()]
        if crop:
            return _cropped_by_pillow(image, crop(height, width), self.size, method)
        return _centre_by_pillow(image, self.size, self.crop_ratio, method)


def _cropped_by_pillow(
    image: np.ndarray, box: tuple[int, ...], size: int, method: Image.Resampling
) -> np.ndarray:
    """Returns a part (top, left, height, width), as torchvision's resized crops do."""
    top, left, height, width = box
    part = _picture(image[top : top + height, left : left + width])
    return np.asarray(part.resize((size, size), method)).reshape(size, size, -1)


def _centre_by_pillow(
    image: np.ndarray, size: int, ratio: float, method: Image.Resampling
) -> np.ndarray:
    """Returns what Resize(size / ratio), of the shorter side, and CenterCrop(size) leave."""
    height, width, _ = image.shape
    short = round(size / ratio)
    sides = [short * side // min(height, width) for side in (width, height)]
    left, top = (round((side - size) / 2) for side in sides)
    part = _picture(image).resize(sides, method).crop((left, top, left + size, top + size))
    return np.asarray(part).reshape(size, size, -1)


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0])


def decode_image(encoded: bytes, channels: int, where: str) -> np.ndarray:
    """Returns uint8 pixels `[H, W, channels]`, RGB or grey; see `ImageForm.decode`."""
    image = _pixels(encoded, channels == 3)
    if image is None:
        raise UserError(f"{where}: not a readable image; replace or remove it")
    if image.dtype == np.uint16:
        raise UserError(f"{where}: {_DEEP}")
    if image.dtype != np.uint8:
        raise UserError(f"{where}: has {image.dtype} pixels; convert it to 8 bits per channel")
    return image if image.ndim == 3 else image[..., None]


def _pixels(encoded: bytes, colour: bool) -> np.ndarray | None:
    """Returns all pixels, or None if the bytes are not an image."""
    if encoded.startswith(_JPEG):
        # The library that OpenCV uses, with the same pixels and less overhead.
        with suppress(ValueError):
            return simplejpeg.decode_jpeg(encoded, "RGB" if colour else "GRAY")
    if not encoded:
        return None
    flags = cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE
    flags |= cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH
    with suppress(cv2.error):
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    return None


def look_at_image(file: BinaryIO, where: str) -> tuple[int, int, int]:
    """Returns height, width and channels (1: grey, 3: colour) of an image's file.

    The content determines the format, not the name. Damage that is visible without decoding is
    detected: wrong checksums of a PNG, and a missing end of a JPEG, which has no checksums.

    Raises:
      UserError: the file is damaged or not a supported image; names `where`.
    """
    try:
        is_png = file.read(len(_PNG)) == _PNG
        shape = _look_at_png(file.read()) if is_png else _look_at_others(file)
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{where}: {error}") from None
    except PILLOW_ERRORS as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise UserError(f"{where}: truncated or damaged; replace or remove it") from None
    if shape[0] * shape[1] > _MOST_PIXELS:
        raise UserError(f"{where}: {shape[0]} x {shape[1]} pixels are too many; make it smaller")
    return shape


def _look_at_png(chunks: bytes) -> tuple[int, int, int]:
    """Reads the header and verifies all checksums, including those of metadata chunks."""
    at, names, view = 0, [], memoryview(chunks)
    while at < len(chunks) and names[-1:] != [b"IEND"]:
        size = int.from_bytes(chunks[at : at + 4])
        end = at + 8 + size
        if end + 4 > len(chunks):
            raise ValueError("truncated")
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(chunks[end : end + 4]):
            raise ValueError("broken PNG file: a checksum is wrong")
        names.append(chunks[at + 4 : at + 8])
        at = end + 4
    if names[:1] != [b"IHDR"] or names[-1:] != [b"IEND"] or b"IDAT" not in names:
        raise ValueError("truncated")
    width, height = int.from_bytes(chunks[8:12]), int.from_bytes(chunks[12:16])
    depth, kind = chunks[16], chunks[17]
    if depth == 16:
        raise ValueError(_DEEP)
    return height, width, 1 if kind in (0, 4) else 3


def _look_at_others(file: BinaryIO) -> tuple[int, int, int]:
    file.seek(0)
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        raise ValueError("not an image of a known format") from None
    if image.format in ("JPEG", "MPO"):
        if not _has_end(file):
            raise ValueError("truncated")
    elif getattr(image, "n_frames", 1) > 1:
        raise ValueError(f"contains {image.n_frames} images; keep one")
    elif image.mode.startswith(("I", "F")):
        raise ValueError(_DEEP)
    width, height = image.size
    return height, width, 1 if image.mode in _GREY_MODES else 3


def _has_end(jpeg: BinaryIO) -> bool:
    """Whether the image data of a JPEG is complete; cameras and phones may append more."""
    jpeg.seek(0, 2)
    jpeg.seek(max(0, jpeg.tell() - 1024))
    if _JPEG_END in jpeg.read():
        return True
    jpeg.seek(0)
    content = jpeg.read()
    # Segments before the scan may contain thumbnails with their own end markers.
    at = 2
    while content[at + 1 : at + 2] not in (b"\xda", b""):
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return content.find(_JPEG_END, at) > 0


def centre_square(height: int, width: int, ratio: float = 1.0) -> tuple[int, int, int, int]:
    """Returns top, left, height and width of a square in the centre of an image.

    Args:
      height: of the image.
      width: of the image.
      ratio: of the square's side to the image's shorter side.
    """
    side = max(1, round(ratio * min(height, width)))
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
