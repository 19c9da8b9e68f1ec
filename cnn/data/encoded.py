"""A split stored encoded, as files or records, whose examples are decoded when they are read."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from cnn.config.errors import UserError
from cnn.data.decode import ImageForm
from cnn.data.signals.signal import Form
from cnn.data.split import Crop, Split

# Positions in the split -> for each example the encoded content, label and name.
Fetch = Callable[[Sequence[int]], Sequence[tuple[Any, int, str]]]


class EncodedSplit(Split):
    """Decodes what `fetch` brings.

    Args:
      name: what messages call the split.
      class_names: one for each class.
      num_examples: number of examples.
      form: what they are decoded to.
      fetch: called from many threads at once.
      fingerprint: see `Split`.
      names: of the examples' files.
      skipped: see `Split`.
      remarks: see `Split`.
    """

    def __init__(
        self,
        name: str,
        class_names: tuple[str, ...],
        num_examples: int,
        form: Form,
        fetch: Fetch,
        fingerprint: str,
        names: Sequence[str] | None = None,
        skipped: tuple[str, ...] = (),
        remarks: tuple[str, ...] = (),
    ):
        self.name = name
        self.class_names = class_names
        self.varying = form.varying
        self.names = names
        self.fingerprint = fingerprint
        self.skipped = skipped
        self.remarks = remarks
        self.shape = form.shape
        self.dtype = form.dtype
        self._num_examples = num_examples
        self._form = form
        self._fetch = fetch

    def at_size(self, size: int) -> Split:
        """See `Split.at_size`."""
        if not isinstance(self._form, ImageForm) or not self._form.size:
            return super().at_size(size)
        other = copy(self)
        other._form = replace(self._form, size=size)
        other.shape = other._form.shape
        return other

    def __len__(self) -> int:
        return self._num_examples

    def read(
        self, indices: np.ndarray, crops: Sequence[Crop] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Reads and decodes the chosen examples; see `Split.read`.

        Raises:
          UserError: an example is broken, has no label or has another shape than the split.
        """
        examples = []
        labels = np.empty(len(indices), np.int32)
        for row, (payload, label, where) in enumerate(self._fetch([int(i) for i in indices])):
            crop = crops[row] if crops is not None else None
            example = self._form.decode(payload, where, crop)
            if example.shape[-len(self.shape) :] != self.shape:
                raise UserError(
                    f"{where}: the shape is {example.shape}, but the split has {self.shape}; "
                    "set the size in config.data"
                )
            if not 0 <= label < self.num_classes:
                raise UserError(
                    f"{where}: label {label} is not one of the {self.num_classes} classes; "
                    "choose a split that has labels"
                )
            examples.append(example)
            labels[row] = label
        return np.stack(examples), labels
