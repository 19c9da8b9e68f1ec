"""Clips of moving images, whose class is given by the motion and not by the content.

An image of a TFDS set, half as large as the canvas, moves around it to the left or right, by one
or three steps per frame: four classes. The canvas is a ring with as many steps as a clip has
frames; three and that number are coprime, so every clip shows the image once at each step of the
ring. The set of frames of a clip is therefore the same for all classes, and only their order
differs: a network that ignores the order cannot do better than chance.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.order import random_bits
from cnn.data.sources.source import COMMON, SOURCES, SliceReader, Source
from cnn.data.sources.tfds import open_tfds
from cnn.data.split import CLIPS, Crop, Split, fingerprint_of

# Class -> steps per frame, to the right.
MOTIONS = {"left, slow": -1, "left, fast": -3, "right, slow": 1, "right, fast": 3}
_DEFAULT_SIZE = 32


class MovingSplit(Split):
    """A clip for each image of a split; class, start and height are random but fixed.

    Args:
      images: the split of images; their classes do not matter.
      name: "train" or "test", which draw differently.
      frames: of a clip, and steps of the ring.
      size: height and width of a frame; a multiple of `frames`.
    """

    varying = False
    dtype = CLIPS.dtype
    class_names = tuple(MOTIONS)

    def __init__(self, images: Split, name: str, frames: int, size: int):
        self.name = name
        self.shape = (frames, size, size, images.shape[-1])
        self.fingerprint = fingerprint_of(images.fingerprint, name, self.shape)
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Makes the chosen clips; see `Split.read`."""
        if crops is not None:
            raise ValueError("clips of one length and size have no random parts")
        images, _ = self._images.read(np.asarray(indices))
        made = [self._clip(int(i), image) for i, image in zip(indices, images, strict=True)]
        clips, labels = zip(*made, strict=True)
        return np.stack(clips), np.array(labels, np.int32)

    def _clip(self, index: int, image: np.ndarray) -> tuple[np.ndarray, int]:
        frames, size, _, channels = self.shape
        half = size // 2
        label, start, top = (
            int(word % np.uint64(n))
            for word, n in zip(
                random_bits(0, f"moving {self.name}", index).random_raw(3),
                (len(MOTIONS), frames, size - half + 1),
                strict=True,
            )
        )
        small = cv2.resize(image, (half, half), interpolation=cv2.INTER_AREA)
        canvas = np.zeros((size, size, channels), np.uint8)
        canvas[top : top + half, :half] = small.reshape(half, half, channels)
        step = size // frames
        motion = tuple(MOTIONS.values())[label]
        places = (start + motion * np.arange(frames)) % frames * step
        return np.stack([np.roll(canvas, place, axis=1) for place in places]), label


def open_moving(data: ConfigDict) -> SliceReader:
    """Opens the source; raises `UserError` for sizes that have no ring, and as `open_tfds`."""
    if data.signal != "video":
        raise UserError(
            f"data.source: moving makes clips; set data.signal=video, not {data.signal}"
        )
    frames, size = data.video.frames, data.image_size or _DEFAULT_SIZE
    if math.gcd(frames, 3) > 1 or size % frames:
        raise UserError(
            f"data.video.frames: {frames} frames of {size} pixels; moving needs a number not "
            "divisible by 3 and a multiple of it as data.image_size, such as 16 and 32"
        )
    images = data.copy_and_resolve_references()
    with images.unlocked():
        images.update(signal="image", image_size=0)
    reader = open_tfds(images)

    def open_part(name: str) -> MovingSplit:
        return MovingSplit(reader.split(name, "data.name"), name, frames, size)

    return SliceReader(f"moving {data.name}", open_part, reader.names)


SOURCES.add(
    "moving",
    Source(
        open=open_moving,
        reads=COMMON | {"name", "version", "data_dir", "image_size", "channels"},
        location="data_dir",
    ),
)
