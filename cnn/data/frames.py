"""Frames of one stored video by number, for all storage formats."""

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

# Silences FFmpeg inside OpenCV; read when the first video is opened.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np
from PIL import Image

from cnn.config.errors import UserError
from cnn.data.decode import IMAGE_SUFFIXES, PILLOW_ERRORS, decode_image
from cnn.data.files import entries, shown

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
SUFFIXES = (".gif", *VIDEO_SUFFIXES)
_GIF_END = b";"
# Their headers state the number of frames as duration times rate, which is not exact.
_UNCOUNTED = (".mkv", ".webm")


class VideoFile(NamedTuple):
    """A stored video.

    Attributes:
      path: of a file, or of a folder of frames.
      count: of its frames, from an earlier look; None: they are to be counted.
    """

    path: Path
    count: int | None


class Frames(ABC):
    """A video that was opened; used by one thread."""

    count: int
    channels: int

    @abstractmethod
    def take(self, numbers: Sequence[int]) -> dict[int, np.ndarray]:
        """Returns uint8 frames `[H, W, channels]`, RGB or grey, by their number.

        Raises:
          UserError: one of them cannot be decoded, naming the video.
        """


class _Images(Frames):
    """A folder of images in the order of their names, or encoded images in theirs."""

    def __init__(self, images: Sequence[Path | bytes], channels: int, where: str):
        self.count, self.channels = len(images), channels
        self._images, self._where = images, where

    def take(self, numbers: Sequence[int]) -> dict[int, np.ndarray]:
        found = {}
        for number in sorted(set(numbers)):
            image = self._images[number]
            path = isinstance(image, Path)
            where = shown(image) if path else f"{self._where}, frame {number}"
            try:
                encoded = image.read_bytes() if path else image
            except OSError as error:
                raise UserError(f"{where}: cannot be read: {error.strerror or error}") from error
            found[number] = decode_image(encoded, self.channels, where)
        return found


class _Gif(Frames):
    def __init__(self, video: VideoFile, channels: int):
        self.channels, self._path = channels, video.path
        self._mode = "RGB" if channels == 3 else "L"
        self.count = self._counted() if video.count is None else video.count

    def _counted(self) -> int:
        with _open_gif(self._path) as image, _named(f"{shown(self._path)}: cannot be read"):
            count = image.n_frames
        if not self._path.read_bytes().rstrip(b"\0").endswith(_GIF_END):
            raise UserError(f"{shown(self._path)}: truncated after frame {count}; replace the file")
        return count

    def take(self, numbers: Sequence[int]) -> dict[int, np.ndarray]:
        found = {}
        with _open_gif(self._path) as image:
            for number in sorted(set(numbers)):
                with _named(f"{shown(self._path)}: frame {number} cannot be read"):
                    image.seek(number)
                    frame = np.asarray(image.convert("RGB").convert(self._mode))
                found[number] = frame if frame.ndim == 3 else frame[..., None]
        return found


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Context that turns what Pillow raises over damaged files into one sentence."""
    try:
        yield
    except PILLOW_ERRORS as error:
        raise UserError(f"{what}: {error}; replace the file") from None


@contextlib.contextmanager
def _open_gif(path: Path) -> Iterator[Image.Image]:
    try:
        image = Image.open(path, formats=("GIF",))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise UserError(f"{shown(path)}: not a readable GIF; replace or remove it") from None
    with image:
        yield image


class _Stream(Frames):
    """A file that OpenCV decodes, from its first frame on: seeking is not exact in all codecs."""

    def __init__(self, video: VideoFile, channels: int):
        self.channels, self._path = channels, video.path
        self.count = self._counted() if video.count is None else video.count

    def _counted(self) -> int:
        """Counts by decoding; raises `UserError` where a header promises more than there is."""
        with _open_stream(self._path) as capture:
            announced, count = capture.get(cv2.CAP_PROP_FRAME_COUNT), 0
            while capture.grab():
                count += 1
        if self._path.suffix.lower() not in _UNCOUNTED and count < announced:
            raise UserError(
                f"{shown(self._path)}: frame {count} of {announced:.0f} cannot be decoded; the "
                "file is truncated or broken; replace or remove it"
            )
        return count

    def take(self, numbers: Sequence[int]) -> dict[int, np.ndarray]:
        found, wanted = {}, set(numbers)
        code = cv2.COLOR_BGR2RGB if self.channels == 3 else cv2.COLOR_BGR2GRAY
        with _open_stream(self._path) as capture:
            for number in range(max(wanted) + 1):
                good = capture.grab()
                frame = capture.retrieve()[1] if good and number in wanted else None
                if not good or (number in wanted and frame is None):
                    raise UserError(
                        f"{shown(self._path)}: frame {number} of {self.count} cannot be decoded; "
                        "the file is truncated or broken; replace or remove it"
                    )
                if frame is not None:
                    frame = cv2.cvtColor(frame, code)
                    found[number] = frame if frame.ndim == 3 else frame[..., None]
        return found


@contextlib.contextmanager
def _open_stream(path: Path) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise UserError(
                f"{shown(path)}: not a video that OpenCV can decode (broken, or an unknown "
                "codec); convert it, for example to H.264 in MP4, or remove it"
            )
        yield capture
    finally:
        capture.release()


def open_frames(payload: VideoFile | Sequence[bytes], channels: int, where: str) -> Frames:
    """Opens a folder of images, a GIF, a video file or a list of encoded images.

    Args:
      payload: one of them.
      channels: 1 (grey) or 3 (RGB) of the frames.
      where: what messages call it.

    Raises:
      UserError: it cannot be opened or has no frame.
    """
    if not isinstance(payload, VideoFile):
        frames: Frames = _Images(payload, channels, where)
    elif payload.path.is_dir():
        frames = _Images(images_in(payload.path), channels, where)
    elif payload.path.suffix.lower() == ".gif":
        frames = _Gif(payload, channels)
    else:
        frames = _Stream(payload, channels)
    if frames.count < 1:
        raise UserError(f"{where}: contains no frames; remove it")
    return frames


def images_in(folder: Path) -> list[Path]:
    """Returns the images of a folder by name, numbers inside names as numbers: 2 before 10."""

    def key(path: Path) -> list[tuple[int, int | str]]:
        parts = "".join(c if c.isdecimal() else f" {c} " for c in path.name).split()
        return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts]

    found = [Path(entry.path) for entry in entries(folder)]
    return sorted((p for p in found if p.suffix.lower() in IMAGE_SUFFIXES), key=key)
