"""A split whose images are stored encoded, as files or records, and decoded when they are read."""

from collections.abc import Callable, Sequence

import numpy as np
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.decode import ImageFormat
from cnn.data.split import Crop, Split

# Positions in the split -> of each example the encoded image, the label and what to call it.
Fetch = Callable[[Sequence[int]], Sequence[tuple[bytes, int, str]]]

# Height, width and channels; None where the images of a split differ.
StoredShape = tuple[int | None, int | None, int | None]


class EncodedSplit(Split):
    """Decodes what `fetch` brings.

    Args:
      name: what messages call the split.
      class_names: one for each class.
      num_examples: number of examples.
      stored: shape of the images as they are stored.
      image_format: shape that they get.
      fetch: called from many threads at once.
    """

    def __init__(
        self,
        name: str,
        class_names: tuple[str, ...],
        num_examples: int,
        stored: StoredShape,
        image_format: ImageFormat,
        fetch: Fetch,
    ):
        self.name = name
        self.class_names = class_names
        self.varying = None in stored[:2]
        size = image_format.size
        height, width = (size, size) if size else stored[:2]
        self.image_shape = (height, width, image_format.channels)
        self._num_examples = num_examples
        self._format = image_format
        self._fetch = fetch

    def __len__(self) -> int:
        return self._num_examples

    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Reads and decodes the chosen examples; see `Split.read`.

        Raises:
          UserError: an image is broken, has no label or is not of the shape that was announced.
        """
        images = np.empty((len(indices), *self.image_shape), np.uint8)
        labels = np.empty(len(indices), np.int32)
        for row, (encoded, label, where) in enumerate(self._fetch([int(i) for i in indices])):
            crop = crops[row] if crops is not None else None
            image = self._format.decode(encoded, where, crop)
            if image.shape != self.image_shape:
                raise UserError(
                    f"{where}: {image.shape} where the split announced {self.image_shape}; "
                    "set data.image_size"
                )
            if not 0 <= label < self.num_classes:
                raise UserError(
                    f"{where}: label {label} is none of the {self.num_classes} classes; "
                    "choose a split that has labels"
                )
            images[row], labels[row] = image, label
        return images, labels


def image_format(data: ConfigDict, stored: StoredShape, where: str) -> ImageFormat:
    """Returns the format that the config asks for.

    Raises:
      UserError: the stored images differ in what the config leaves as stored, or have another
        number of channels than 1 and 3.
    """
    channels = data.channels or stored[2]
    if channels not in (1, 3):
        raise UserError(
            f"data.channels: images in {where} have {stored[2] or 'differing numbers of'} "
            "channels; set it to 1 (grey) or 3 (colour)"
        )
    if not data.image_size and None in stored[:2]:
        raise UserError(
            f"data.image_size: images in {where} differ in size; set it to a number of pixels"
        )
    return ImageFormat(channels, data.image_size)
