"""Images: uint8 `[H, W, C]`, normalised by channel."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.augmentation import Augment, check_augment, make_augment, normalize
from cnn.data.crop import decode_crops
from cnn.data.decode import ImageForm
from cnn.data.signals.signal import OF_PICTURES, SIGNALS, Codec, Kind, Look, Signal, StoredShape
from cnn.data.split import IMAGES, DrawCrops, Split

_SUFFIXES = (".png", ".jpg", ".jpeg")
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")
_JPEG_END = b"\xff\xd9"
_MEASURED = 10_000  # examples that the statistics are measured on, at most
_CHUNK = 256  # of them in memory at once


@dataclass(frozen=True)
class ImageCodec(Codec):
    """PNG and JPEG files; TFDS' `Image`."""

    data: ConfigDict
    feature = "Image"

    def look_at(self, path: Path) -> Look:
        """Reads the header and looks for damage that shows without decoding.

        A PNG's checksums are verified; a JPEG has none, so only that it has its end.
        """
        from PIL import Image

        unknown = (None, None, None)
        if path.suffix.lower() not in _SUFFIXES:
            return Look(unknown, f"not named {', '.join(_SUFFIXES)}")
        try:
            with path.open("rb") as file, Image.open(file, formats=("PNG", "JPEG")) as image:
                width, height = image.size
                channels = 1 if image.mode in _GREY_MODES else 3
                if image.format == "PNG":
                    image.verify()
                else:
                    file.seek(max(0, path.stat().st_size - 1024))
                    if _JPEG_END not in file.read():
                        return Look(unknown, "cut short")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = "not a PNG or JPEG image" if "cannot identify" in str(error) else str(error)
            return Look(unknown, reason)
        return Look((height, width, channels))

    def stored_shape(self, feature: Any) -> StoredShape:
        """Returns height, width and channels of an `Image` feature of bytes."""
        if feature.np_dtype != np.uint8:
            raise UserError("images are not uint8")
        return tuple(feature.shape)

    def form(self, stored: StoredShape, where: str) -> ImageForm:
        """Returns what the config asks for.

        Raises:
          UserError: the stored images differ in what the config leaves as stored, or have another
            number of channels than 1 and 3.
        """
        channels = self.data.channels or stored[2]
        if channels not in (1, 3):
            raise UserError(
                f"data.channels: images in {where} have {stored[2] or 'differing numbers of'} "
                "channels; set it to 1 (grey) or 3 (colour)"
            )
        if not self.data.image_size and None in stored[:2]:
            raise UserError(
                f"data.image_size: images in {where} differ in size; set it to a number of pixels"
            )
        return ImageForm(channels, self.data.image_size, stored[:2])


@dataclass(frozen=True)
class ImageSignal(Signal):
    """Normalised pixels; mean and std are per channel, of pixels scaled to [0, 1]."""

    def prepare(self, stored: Array) -> Array:
        """Returns float32 images `[B, H, W, C]`."""
        return normalize(stored, self.mean, self.std)

    def make_augment(self, augment: ConfigDict, num_classes: int, *, cropped: bool) -> Augment:
        """Builds the augmentation; see `augmentation.make_augment`."""
        return make_augment(augment, num_classes, self.mean, self.std, cropped=cropped)

    def check(self, augment: ConfigDict) -> None:
        """Raises `UserError` unless the augment section fits images of this size."""
        check_augment(augment, self.example.shape)

    def draw_crops(self, augment: ConfigDict, varying: bool) -> DrawCrops | None:
        """Random resized crops, of images that are stored in differing sizes."""
        area = tuple(augment.random_resized_crop)
        return partial(decode_crops, area=area) if area and varying else None


def measure(
    split: Split, most: int = _MEASURED, at_once: int = _CHUNK
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of the pixels / 255, per channel.

    Over all examples, or `most` evenly spaced ones when there are more, `at_once` of them in
    memory. Pixels are counted by value, so the result is exact to float64 whatever the order. A
    channel without any variation gets standard deviation 1.
    """
    chosen = np.arange(min(len(split), most)) * len(split) // min(len(split), most)
    channels = split.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(chosen), at_once):
        images, _ = split.read(chosen[start : start + at_once])
        for channel in range(channels):
            counts[channel] += np.bincount(images[..., channel].ravel(), minlength=256)
    share = counts / counts.sum(axis=1, keepdims=True)
    values = np.arange(256) / 255.0
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))
    return tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist())


def channels_of(data: ConfigDict, example: jax.ShapeDtypeStruct) -> int:
    """Returns how many channels there are."""
    return example.shape[-1]


SIGNALS.add(
    "image",
    Kind(
        about="uint8 [H, W, C] from PNG and JPEG, normalised by channel",
        reads=OF_PICTURES,
        stored=IMAGES,
        codec=ImageCodec,
        measure=lambda data, split: measure(split),
        count=channels_of,
        open=lambda data, example, mean, std: ImageSignal(example, tuple(mean), tuple(std)),
    ),
)
