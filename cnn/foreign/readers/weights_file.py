"""What a reader of weights hands on."""

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
      notes: what was taken off the names or left aside, a sentence each.
      metadata: texts that the file holds besides, of safetensors.
    """

    tensors: Tensors
    form: str
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


class UnreadableError(Exception):
    """What is wrong with a file, to be completed with its name."""
