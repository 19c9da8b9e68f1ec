"""Video: clips of uint8 frames `[T, H, W, C]`, augmented consistently over the frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.augmentation import Augment, PixelOperation, check_augment, make_augment, normalize
from cnn.data.clips import ClipForm, Sampling, draw_picks, views
from cnn.data.files import entries, is_folder, shown
from cnn.data.frames import IMAGE_SUFFIXES, SUFFIXES, VideoFile, open_frames
from cnn.data.signals.image import channel_statistics, channels_of
from cnn.data.signals.signal import (
    OF_PICTURES,
    SIGNALS,
    Codec,
    FileInfo,
    Signal,
    SignalKind,
    StoredShape,
)
from cnn.data.split import CLIPS, DrawCrops

_MEASURED = 1000  # clips that the statistics are measured on, at most
_CHUNK = 16  # of them in memory at once


@dataclass(frozen=True)
class VideoCodec(Codec):
    """Folders of frames, GIF, and files that OpenCV decodes; TFDS' `Video`.

    Stored shapes are (frames, height, width, channels).
    """

    data: ConfigDict
    feature = "Video"

    def examples(self, folder: str) -> Iterator[str]:
        """Yields the files below a class folder, and the folders below it that hold frames."""
        for entry in entries(folder):
            if not is_folder(entry):
                yield entry.path
                continue
            inside = entries(entry.path)
            if not inside or any(Path(e.name).suffix.lower() in IMAGE_SUFFIXES for e in inside):
                yield entry.path
            else:
                yield from self.examples(entry.path)

    def look_at(self, path: Path, thorough: bool) -> FileInfo:
        """Counts the frames, of a file by decoding all of it; thorough: decodes every frame."""
        if path.is_file() and path.suffix.lower() not in SUFFIXES:
            raise UserError(
                f"{shown(path)}: neither a folder of frames nor named {', '.join(SUFFIXES)}"
            )
        frames = open_frames(VideoFile(path, None), 3, shown(path))
        first = frames.take(range(frames.count) if thorough else [0])[0]
        return FileInfo((frames.count, *first.shape[:2], None))

    def refused(self, shape: StoredShape) -> str:
        """Returns why the data section does not take a video of so many frames, or ""."""
        needed = _sampling(self.data).span
        if self.data.video.short == "refuse" and shape[0] < needed:
            return (
                f"has {shape[0]} frames and a clip needs {needed}; set data.video.short=loop "
                "or hold, or a shorter clip"
            )
        return ""

    def payload(self, path: str, shape: StoredShape) -> VideoFile:
        """Returns path and number of frames; only the frames of a clip are read."""
        return VideoFile(Path(path), shape[0])

    def stored_shape(self, feature: Any) -> StoredShape:
        """Returns frames, height, width and channels of a `Video` feature."""
        shape = tuple(feature.shape)
        if len(shape) != 4:
            raise UserError(f"videos of shape {shape} are not frames of pixels")
        return shape

    def from_record(self, feature: Any) -> list[bytes]:
        """Takes the encoded frames out of a `tf.train.Example`."""
        return list(feature.bytes_list.value)

    def form(self, stored: StoredShape, where: str) -> ClipForm:
        """Returns the clips that the config asks for; raises `UserError` if they cannot be."""
        channels = self.data.channels or stored[3] or 3
        if not self.data.image_size and None in stored[1:3]:
            raise UserError(
                f"data.image_size: videos in {where} differ in size; set it to a number of pixels"
            )
        return ClipForm(_sampling(self.data), channels, self.data.image_size, stored[:3])


def _sampling(data: ConfigDict) -> Sampling:
    video = data.video
    return Sampling(video.frames, video.stride, video.sampling, video.short)


@dataclass(frozen=True)
class VideoSignal(Signal):
    """Normalised pixels; mean and std are per channel, of pixels scaled to [0, 1].

    Attributes:
      random: whether training takes frames at random places of a video.
    """

    axis_names: ClassVar = {"depth": "time (frames)"}
    timed: ClassVar = True

    random: bool

    def prepare(self, stored: Array) -> Array:
        """Returns float32 clips `[B, T, H, W, C]`."""
        return normalize(stored, self.mean, self.std)

    def make_augment(self, augment: ConfigDict, num_classes: int, *, cropped: bool) -> Augment:
        """Builds the augmentation of images, on clips whose frames are channels of one image.

        Crops, flips, cutout and mixing are therefore the same for all frames. Colour operations
        are drawn per clip and computed per frame: image statistics, as for equalize, are those
        of the frame.
        """
        frames = self.example.shape[0]
        of_images = make_augment(
            augment,
            num_classes,
            self.mean * frames,
            self.std * frames,
            # The box of a clip is taken with its frames, while decoding.
            cropped=cropped,
            each=partial(_each_frame, frames),
        )

        def apply(key: Array, stored: Array, labels: Array) -> tuple[Array, Array]:
            images, targets = of_images(key, _frames_as_channels(stored), labels)
            return _channels_as_frames(images, frames), targets

        return apply

    def check(self, augment: ConfigDict) -> None:
        """Raises `UserError` unless the augment section fits clips of this size."""
        check_augment(augment, self.example.shape[1:])

    def draw_crops(self, augment: ConfigDict, varying: bool) -> DrawCrops | None:
        """Random frames and random resized crops, where a video contains more than the clip."""
        area = tuple(augment.random_resized_crop)
        if not varying or not (self.random or area):
            return None
        frames = self.example.shape[0]
        return partial(draw_picks, frames=frames, place=self.random, area=area)

    def views(self, count: int) -> Any:
        """Returns a function that decodes that many views of a video."""
        return views(count, self.example.shape[0])

    @property
    def drawn_axes(self) -> str:
        """A strip of frames."""
        return f"frames side by side, the first on the left, of {self.shape[0]}"

    def pictures(self, stored: np.ndarray) -> np.ndarray:
        """Returns clips as strips of their frames, side by side."""
        return self.upright(stored)

    def upright(self, maps: np.ndarray) -> np.ndarray:
        """`[B, T, H, W, ...]` -> `[B, H, T W, ...]`."""
        batch, frames, height, width, *rest = maps.shape
        return np.moveaxis(maps, 1, 2).reshape(batch, height, frames * width, *rest)


def _frames_as_channels(clips: Array) -> Array:
    """`[B, T, H, W, C]` -> `[B, H, W, T C]`."""
    batch, frames, height, width, channels = clips.shape
    return jnp.moveaxis(clips, 1, 3).reshape(batch, height, width, frames * channels)


def _channels_as_frames(images: Array, frames: int) -> Array:
    """`[B, H, W, T C]` -> `[B, T, H, W, C]`."""
    return jnp.moveaxis(images.reshape(*images.shape[:3], frames, -1), 3, 1)


def _each_frame(frames: int, operation: PixelOperation, key: Array, images: Array) -> Array:
    # The same key for all frames draws the same operations.
    each = jax.vmap(partial(operation, key), 1, 1)
    return _frames_as_channels(each(_channels_as_frames(images, frames)))


def _open(data: ConfigDict, example: jax.ShapeDtypeStruct, mean: Any, std: Any) -> VideoSignal:
    return VideoSignal(example, tuple(mean), tuple(std), data.video.random)


SIGNALS.add(
    "video",
    SignalKind(
        about="uint8 [T, H, W, C] from folders of frames and video files, normalised by channel",
        reads=OF_PICTURES
        | {
            "video",
            "evaluation.views",
            "model.temporal_downsample",
            "model.shortcut_temporal_downsample",
            "model.temporal_head",
        },
        stored=CLIPS,
        codec=VideoCodec,
        measure=lambda data, split: channel_statistics(split, _MEASURED, _CHUNK),
        count=channels_of,
        open=_open,
    ),
)
