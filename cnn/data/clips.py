"""Clips `[T, H, W, C]`: which frames of a video are used, and how they are decoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnn.config.errors import UserError
from cnn.data.crop import UNIFORMS, crop_box
from cnn.data.decode import centre_square, resized
from cnn.data.frames import VideoFile, open_frames
from cnn.data.order import random_bits


@dataclass(frozen=True)
class Sampling:
    """How the frames of a clip are chosen.

    Attributes:
      frames: of a clip, T.
      stride: dense: distance between them.
      method: "dense": frames `stride` apart, from one start; "uniform": one from each of T equal
        parts of the video (Wang et al., ECCV 2016), whatever its length.
      short: dense sampling of videos that are too short: "loop" continues with the first frame,
        "hold" repeats the last.
    """

    frames: int
    stride: int
    method: str
    short: str

    @property
    def span(self) -> int:
        """The number of frames that a video must have."""
        return (self.frames - 1) * self.stride + 1 if self.method == "dense" else self.frames

    def choose(self, count: int, places: np.ndarray) -> np.ndarray:
        """Returns the numbers of the frames, int `[T]`, of a video of `count`.

        Args:
          count: frames of the video.
          places: `[T]` in [0, 1): where in its part each frame is; dense reads the first alone, as
            the place of the start among those that leave room.
        """
        steps = np.arange(self.frames)
        if self.method == "uniform":
            return ((steps + places) * count / self.frames).astype(int)
        starts = max(count - self.span, 0) + 1
        numbers = int(places[0] * starts) + steps * self.stride
        return numbers % count if self.short == "loop" else np.minimum(numbers, count - 1)


@dataclass(frozen=True)
class Pick:
    """The frames and the crop to take from one video.

    Attributes:
      places: `[views, T]`, see `Sampling.choose`.
      box: uniform numbers of a random resized crop, the same for all frames; None: the centre.
      area: of that crop.
      stacked: the views are an axis of their own, `[views, T, H, W, C]`.
    """

    places: np.ndarray
    box: np.ndarray | None = None
    area: tuple[float, ...] = ()
    stacked: bool = False


def views(count: int, frames: int) -> Pick:
    """Returns `count` evenly spaced views of a video; for one, the middle."""
    places = (np.arange(count) + 0.5) / count
    return Pick(np.broadcast_to(places[:, None], (count, frames)), stacked=count > 1)


def draw_picks(
    seed: int, step: int, batch_size: int, frames: int, place: bool, area: tuple[float, ...]
) -> list[Pick]:
    """Returns what to take from each video of a step's batch: a pure function of seed and step.

    Args:
      seed: of the augmentation.
      step: of the training.
      batch_size: of the step.
      frames: of a clip.
      place: whether frames are random; otherwise those of the middle view.
      area: of random resized crops; () takes the centre.
    """
    each = frames + UNIFORMS
    bits = random_bits(seed, "clip", step).random_raw(batch_size * each)
    rows = (bits >> np.uint64(11)).astype(np.float64).reshape(batch_size, each) / 2.0**53
    middle = np.full(frames, 0.5)
    return [
        Pick((row[:frames] if place else middle)[None], row[frames:] if area else None, area)
        for row in rows
    ]


@dataclass(frozen=True)
class ClipForm:
    """The shape every decoded clip gets.

    Attributes:
      sampling: of the frames.
      channels: 1 (grey) or 3 (colour).
      size: height and width in pixels, see `ImageForm`.
      stored: frames, height and width as stored; None where videos differ.
    """

    sampling: Sampling
    channels: int
    size: int
    stored: tuple[int | None, int | None, int | None]
    dtype: ClassVar[np.dtype] = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, height, width and channels of a clip."""
        sides = (self.size, self.size) if self.size else self.stored[1:]
        return self.sampling.frames, *sides, self.channels

    @property
    def varying(self) -> bool:
        """Whether a video contains more than one clip."""
        return self.stored[0] != self.sampling.span or None in self.stored[1:]

    def decode(
        self, payload: VideoFile | Sequence[bytes], where: str, crop: Pick | None = None
    ) -> np.ndarray:
        """Returns uint8 `[T, H, W, C]`, or `[views, T, H, W, C]` of several views.

        Raises:
          UserError: a frame cannot be decoded, naming `where`, or frames differ in size.
        """
        pick = crop or views(1, self.sampling.frames)
        frames = open_frames(payload, self.channels, where)
        numbers = np.stack([self.sampling.choose(frames.count, row) for row in pick.places])
        found = frames.take(numbers.ravel().tolist())
        shapes = {frame.shape for frame in found.values()}
        if len(shapes) > 1:
            raise UserError(f"{where}: the frames differ in size: {sorted(shapes)}; replace it")
        small = {n: self._fitted(frame, pick) for n, frame in found.items()}
        clip = np.stack([small[n] for n in numbers.ravel().tolist()])
        clip = clip.reshape(*numbers.shape, *clip.shape[1:])
        return clip if pick.stacked else clip[0]

    def _fitted(self, frame: np.ndarray, pick: Pick) -> np.ndarray:
        if not self.size:
            return frame
        height, width = frame.shape[:2]
        if pick.box is None:
            box = centre_square(height, width)
        else:
            box = tuple(map(int, crop_box(pick.box, height, width, pick.area, np)))
        return resized(frame, box, self.size)
