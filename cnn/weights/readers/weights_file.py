"""What a reader of weights hands on."""

from dataclasses import dataclass

import numpy as np

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of one file, by the names they have there.

    Attributes:
      tensors: in the order of the file.
      form: what the file is, in words.
      notes: what was taken off the names or left aside, a sentence each.
    """

    tensors: Tensors
    form: str
    notes: tuple[str, ...] = ()


class UnreadableError(Exception):
    """What is wrong with a file, to be completed with its name."""
