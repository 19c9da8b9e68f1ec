"""Images: uint8 `[H, W, C]`, normalised by channel."""

import io
from collections.abc import Sequence
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
from cnn.data.decode import IMAGE_SUFFIXES, ImageForm, decode_image, look_at_image
from cnn.data.files import shown
from cnn.data.signals.signal import (
    OF_PICTURES,
    SIGNALS,
    Codec,
    FileInfo,
    Signal,
    SignalKind,
    StoredShape,
)
from cnn.data.split import IMAGES, DrawCrops, Split

_MEASURED = 10_000  # examples that the statistics are measured on, at most
_CHUNK = 256  # of them in memory at once


@dataclass(frozen=True)
class ImageCodec(Codec):
    """Files of images; TFDS' `Image`. Stored shapes are (height, width, channels)."""

    data: ConfigDict
    feature = "Image"

    def look_at(self, path: Path, thorough: bool) -> FileInfo:
        """Reads the header and looks for damage that shows without decoding; see `look_at_image`.

        Raises:
          UserError: it is broken, or not a supported image.
        """
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f"{shown(path)}: the name does not end in {', '.join(IMAGE_SUFFIXES)}")
        with path.open("rb") as file:
            shape = look_at_image(file, shown(path))
        if thorough:
            decode_image(path.read_bytes(), 3, shown(path))
        return FileInfo(shape)

    def look_at_content(self, content: bytes, where: str, thorough: bool) -> FileInfo:
        """See `look_at`."""
        shape = look_at_image(io.BytesIO(content), where)
        if thorough:
            decode_image(content, 3, where)
        return FileInfo(shape)

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
        problems = []
        if channels not in (1, 3):
            problems.append(
                f"data.channels: images in {where} have {stored[2] or 'differing numbers of'} "
                "channels; set it to 1 (grey) or 3 (colour)"
            )
        if not self.data.image_size and None in stored[:2]:
            problems.append(
                f"data.image_size: images in {where} differ in size; set it to a number of pixels"
            )
        if self.data.crop_ratio < 1 and not self.data.image_size:
            problems.append("data.crop_ratio: needs data.image_size, to which the part is resized")
        if problems:
            raise UserError("; ".join(problems))
        return ImageForm(
            channels,
            self.data.image_size,
            stored[:2],
            self.data.interpolation,
            self.data.crop_ratio,
        )


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
        *sides, channels = self.example.shape
        check_augment(augment, (*sides, channels))
        if augment.sizes:
            check_augment(augment, (min(augment.sizes), min(augment.sizes), channels))

    def draw_crops(self, augment: ConfigDict, varying: bool) -> DrawCrops | None:
        """Random resized crops, of images that are stored in differing sizes."""
        area = tuple(augment.random_resized_crop)
        return partial(decode_crops, area=area) if area and varying else None


def channel_statistics(
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


def _form_fields(shape: Sequence[int]) -> dict[str, int]:
    height, width, channels = shape
    return {"channels": channels} | ({"image_size": height} if height == width else {})


SIGNALS.add(
    "image",
    SignalKind(
        about="uint8 [H, W, C] from PNG, JPEG, WebP, BMP, TIFF and GIF, normalised by channel",
        reads=OF_PICTURES
        | {"interpolation", "crop_ratio", "evaluation.tta", "augment.consistency"}
        | {"augment.sizes", "augment.size_boundaries"},
        stored=IMAGES,
        codec=ImageCodec,
        measure=lambda data, split: channel_statistics(split),
        count=channels_of,
        open=lambda data, example, mean, std: ImageSignal(example, tuple(mean), tuple(std)),
        form_fields=_form_fields,
    ),
)
