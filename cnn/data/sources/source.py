"""Sources of examples and their registry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from ml_collections import ConfigDict

from cnn.config.errors import UserError, did_you_mean
from cnn.config.registry import Registry
from cnn.data.sources.slices import SplitSlice, parse_split
from cnn.data.split import Split, Subset

# Fields of the data section that all sources read.
COMMON = frozenset(
    {
        "signal",
        "source",
        "train_split",
        "test_split",
        "validation",
        "validation_split",
        "placement",
        "device_limit",
        "workers",
        "prefetch",
        "mean",
        "std",
    }
)

# Likewise, of the sources that decode files or records.
DECODING = frozenset(
    {
        "image_size",
        "interpolation",
        "crop_ratio",
        "channels",
        "sound.seconds",
        "sound.other_rates",
        "sound.short",
        "sound.long",
        "sound.channels",
        "video.sampling",
        "video.random",
    }
)


class Reader(Protocol):
    """An opened source, from which splits are taken by expression."""

    def check(self, expression: str, field: str) -> None:
        """Raises `UserError` unless there is such a split; reads no example of it."""

    def split(self, expression: str, field: str) -> Split:
        """Opens one split; `field` is the config field that asked for it."""


@dataclass(frozen=True)
class Source:
    """One entry of the registry.

    Attributes:
      open: from the data section of a config to a reader; raises `UserError`.
      reads: fields of the data section that this source uses.
      location: field that says where the data are; "" where they are not stored.
      named_classes: whether labels are found by the names of their classes, not by number.
    """

    open: Callable[[ConfigDict], Reader]
    reads: frozenset[str]
    location: str = "path"
    named_classes: bool = True


SOURCES: Registry[Source] = Registry("source", "data.source")


class SliceReader:
    """A reader whose splits are named parts, cut with `parse_split`.

    Args:
      where: what messages call the source ("folder /images").
      open_part: opens one whole part.
      names: the parts there are.
    """

    def __init__(self, where: str, open_part: Callable[[str], Split], names: tuple[str, ...] = ()):
        self.where = where
        self.names = names
        self._open_part = open_part

    def check(self, expression: str, field: str) -> None:
        """Raises `UserError` unless there is such a part; reads no example of it."""
        base = parse_split(expression, field).base
        if base not in self.names:
            raise UserError(
                f"{field}: no split '{base}' in {self.where}: {did_you_mean(base, self.names)}"
            )

    def split(self, expression: str, field: str) -> Split:
        """Opens a part and cuts it; raises `UserError` when nothing is left."""
        self.check(expression, field)
        part = parse_split(expression, field)
        whole = self._open_part(part.base)
        matching = _matching(whole, part, field)
        chosen = matching[part.range(len(matching))]
        if not len(chosen):
            raise UserError(
                f"{field}: '{expression}' selects no examples; '{part.base}' in {self.where} has "
                f"{len(whole)}"
            )
        if len(chosen) == len(whole):
            return whole
        return Subset(whole, chosen, expression)


def _matching(split: Split, part: SplitSlice, field: str) -> np.ndarray:
    """Returns the indices of the examples whose names contain the pattern, or all of them."""
    if part.pattern is None:
        return np.arange(len(split))
    if split.names is None:
        raise UserError(f"{field}: '~' selects files by name, but {split.name} has no files")
    return np.flatnonzero([part.pattern.search(name) is not None for name in split.names])
