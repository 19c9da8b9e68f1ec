"""The result of a reader of weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of one file, by the names they have there.

    Attributes:
      tensors: in the order of the file.
      form: what the file is, in words.
      notes: prefixes removed and entries ignored, one sentence each.
      metadata: further texts in the file, of safetensors.
    """

    tensors: Tensors
    form: str
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


class UnreadableError(Exception):
    """A file cannot be read; the message continues the file's name."""
