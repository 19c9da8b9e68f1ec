"""A data set as a run sees it: its splits, their statistics and what the classes are called."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import jax
import numpy as np
from ml_collections import ConfigDict

from cnn.config.durations import to_examples
from cnn.config.errors import UserError
from cnn.data.order import random_bits
from cnn.data.signals import SIGNALS, Kind, Signal
from cnn.data.sources import SOURCES, Reader
from cnn.data.split import Split, Subset


@dataclass(frozen=True)
class Dataset:
    """The splits that were asked for; the others are None.

    Attributes:
      train: without the validation part.
      validation: carved out of train; None when `data.validation` is zero.
      signal: how examples become what the network sees.
    """

    train: Split | None
    validation: Split | None
    num_classes: int
    class_names: tuple[str, ...]
    signal: Signal
    _open_test: Callable[[], Split] | None = field(repr=False, default=None)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What the network sees of one example, `[*spatial, C]`."""
        return self.signal.shape

    @property
    def mean(self) -> tuple[float, ...]:
        """What the network's input is normalised with: of pixels in [0, 1], for images."""
        return self.signal.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Likewise."""
        return self.signal.std

    @cached_property
    def test(self) -> Split | None:
        """The test split, opened at the first look at it and not before."""
        return self._open_test() if self._open_test else None


def open_dataset(
    data: ConfigDict, *, splits: tuple[str, ...] = ("train", "validation", "test")
) -> Dataset:
    """Opens a data set.

    That the test split exists is checked at once; its examples are not read, and its files are
    not opened, before `Dataset.test` is. With `splits=("test",)` train is left alone likewise.

    Args:
      data: the data section of a config.
      splits: those that will be read, of train, validation and test.

    Raises:
      UserError: there is no such data set or split, or a field does not fit it; `data.mean` or
        `data.std` is not given although train, on which they are measured, is not asked for.
    """
    kind = SIGNALS.look_up(data.signal, "data.signal")
    reader = SOURCES.look_up(data.source, "data.source").open(data)
    for name in ("train_split", "test_split"):
        if name.removesuffix("_split") in splits:
            reader.check(data[name], f"data.{name}")
    train, validation = None, None
    if "train" in splits or "validation" in splits:
        train, validation = _carve(reader.split(data.train_split, "data.train_split"), data)
    open_test = _test_opener(reader, data, kind, train) if "test" in splits else None
    shown = train or open_test()
    return Dataset(
        train=train,
        validation=validation,
        num_classes=shown.num_classes,
        class_names=shown.class_names,
        signal=_open_signal(data, kind, train, shown),
        _open_test=open_test,
    )


def _test_opener(
    reader: Reader, data: ConfigDict, kind: Kind, train: Split | None
) -> Callable[[], Split]:
    def open_test() -> Split:
        test = reader.split(data.test_split, "data.test_split")
        if train and (test.shape, test.class_names) != (train.shape, train.class_names):
            raise UserError(
                f"data.test_split: '{data.test_split}' has {test.num_classes} classes and "
                f"{kind.stored.name}s {test.shape}; train has {train.num_classes} and {train.shape}"
            )
        return test

    return open_test


def _carve(train: Split, data: ConfigDict) -> tuple[Split, Split | None]:
    """Splits train in two by a fixed permutation of its examples, whatever the run's seed."""
    held_out = to_examples(data.validation, "data.validation", examples=len(train))
    if held_out >= len(train):
        raise UserError(
            f"data.validation: '{data.validation}' is {held_out} of {len(train)} training "
            "examples; leave some to train on"
        )
    if not held_out:
        return train, None
    bits = random_bits(0, "validation", 0).random_raw(len(train))
    order = np.argsort(bits, kind="stable")
    kept, held = np.sort(order[:-held_out]), np.sort(order[-held_out:])
    return (
        Subset(train, kept, f"{train.name} without validation"),
        Subset(train, held, f"validation part of {train.name}"),
    )


def _open_signal(data: ConfigDict, kind: Kind, train: Split | None, shown: Split) -> Signal:
    """Opens the signal with the statistics of the config, or else of train."""
    example = jax.ShapeDtypeStruct(shown.shape, shown.dtype)
    count = kind.count(data, example)
    for name in ("mean", "std"):
        if data[name] and len(data[name]) != count:
            channels = f"{kind.stored.name}s of {shown.shape[-1]} channels"
            raise UserError(f"data.{name}: {len(data[name])} values for {channels}; give {count}")
    if data.std and min(data.std) <= 0:
        raise UserError(f"data.std: {tuple(data.std)} has to be positive")
    mean, std = tuple(data.mean), tuple(data.std)
    if not (mean and std):
        if train is None:
            raise UserError(
                "data.mean, data.std: give both, as train is not opened to measure them"
            )
        measured = kind.measure(data, train)
        mean, std = mean or measured[0], std or measured[1]
    return kind.open(data, example, mean, std)
