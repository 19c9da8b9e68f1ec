"""Frames of one stored video by number, whatever it is stored as."""

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

# FFmpeg inside OpenCV prints beside our own sentence; read when the first video is opened.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np
from PIL import Image

from cnn.config.errors import UserError
from cnn.data.decode import decode_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
SUFFIXES = (".gif", *VIDEO_SUFFIXES)


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
            encoded = image.read_bytes() if path else image
            where = str(image) if path else f"{self._where}, frame {number}"
            found[number] = decode_image(encoded, self.channels, where)
        return found


class _Gif(Frames):
    def __init__(self, path: Path, channels: int):
        self.channels, self._path = channels, path
        self._mode = "RGB" if channels == 3 else "L"
        with _open_gif(path) as image:
            self.count = image.n_frames

    def take(self, numbers: Sequence[int]) -> dict[int, np.ndarray]:
        found = {}
        with _open_gif(self._path) as image:
            for number in sorted(set(numbers)):
                try:
                    image.seek(number)
                    frame = np.asarray(image.convert("RGB").convert(self._mode))
                except (OSError, EOFError, SyntaxError, ValueError) as error:
                    raise UserError(
                        f"{self._path}: frame {number} cannot be read: {error}; replace the file"
                    ) from None
                found[number] = frame if frame.ndim == 3 else frame[..., None]
        return found


@contextlib.contextmanager
def _open_gif(path: Path) -> Iterator[Image.Image]:
    try:
        image = Image.open(path, formats=("GIF",))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise UserError(f"{path}: not a readable GIF; replace or remove it") from None
    with image:
        yield image


class _Stream(Frames):
    """A file that OpenCV decodes, from its first frame on: seeking is not exact in all codecs."""

    def __init__(self, path: Path, channels: int):
        self.channels, self._path = channels, path
        with _open_stream(path) as capture:
            self.count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def take(self, numbers: Sequence[int]) -> dict[int, np.ndarray]:
        found, wanted = {}, set(numbers)
        code = cv2.COLOR_BGR2RGB if self.channels == 3 else cv2.COLOR_BGR2GRAY
        with _open_stream(self._path) as capture:
            for number in range(max(wanted) + 1):
                good = capture.grab()
                frame = capture.retrieve()[1] if good and number in wanted else None
                if not good or (number in wanted and frame is None):
                    raise UserError(
                        f"{self._path}: frame {number} of {self.count} cannot be decoded; the "
                        "file is cut short or broken, replace or remove it"
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
                f"{path}: not a video that OpenCV can decode: broken, or of an unknown codec; "
                "convert it, for instance to H.264 in MP4, or remove it"
            )
        yield capture
    finally:
        capture.release()


def open_frames(payload: Path | Sequence[bytes], channels: int, where: str) -> Frames:
    """Opens a folder of images, a GIF, a video file or a list of encoded images.

    Args:
      payload: one of them.
      channels: 1 (grey) or 3 (RGB) of the frames.
      where: what messages call it.

    Raises:
      UserError: it cannot be opened or has no frame.
    """
    if not isinstance(payload, Path):
        frames: Frames = _Images(payload, channels, where)
    elif payload.is_dir():
        frames = _Images(images_in(payload), channels, where)
    elif payload.suffix.lower() == ".gif":
        frames = _Gif(payload, channels)
    else:
        frames = _Stream(payload, channels)
    if frames.count < 1:
        raise UserError(f"{where}: holds no frames; remove it")
    return frames


def images_in(folder: Path) -> list[Path]:
    """Returns the images of a folder by name, numbers inside names as numbers: 2 before 10."""

    def key(path: Path) -> list[tuple[int, int | str]]:
        parts = "".join(c if c.isdigit() else f" {c} " for c in path.name).split()
        return [(0, int(p)) if p.isdigit() else (1, p) for p in parts]

    found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "."]
    return sorted(found, key=key)
