"""A data set as a run sees it: its splits, their statistics and what the classes are called."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from ml_collections import ConfigDict

from cnn.config.durations import to_examples
from cnn.config.errors import UserError
from cnn.data.order import random_bits
from cnn.data.sources import SOURCES, Reader
from cnn.data.split import Split, Subset

_MEASURED = 10_000  # examples that the statistics are measured on, at most
_CHUNK = 256  # of them in memory at once


@dataclass(frozen=True)
class Dataset:
    """The splits that were asked for; the others are None.

    Attributes:
      train: without the validation part.
      validation: carved out of train; None when `data.validation` is zero.
      mean: per channel, of pixels scaled to [0, 1].
      std: likewise.
    """

    train: Split | None
    validation: Split | None
    num_classes: int
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    _open_test: Callable[[], Split] | None = field(repr=False, default=None)

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
    reader = SOURCES.look_up(data.source, "data.source").open(data)
    for name in ("train_split", "test_split"):
        if name.removesuffix("_split") in splits:
            reader.check(data[name], f"data.{name}")
    train, validation = None, None
    if "train" in splits or "validation" in splits:
        train, validation = _carve(reader.split(data.train_split, "data.train_split"), data)
    open_test = _test_opener(reader, data, train) if "test" in splits else None
    shown = train or open_test()
    mean, std = _statistics(data, train, shown.image_shape[-1])
    return Dataset(
        train=train,
        validation=validation,
        num_classes=shown.num_classes,
        class_names=shown.class_names,
        image_shape=shown.image_shape,
        mean=mean,
        std=std,
        _open_test=open_test,
    )


def _test_opener(reader: Reader, data: ConfigDict, train: Split | None) -> Callable[[], Split]:
    def open_test() -> Split:
        test = reader.split(data.test_split, "data.test_split")
        if train and (test.image_shape, test.class_names) != (train.image_shape, train.class_names):
            raise UserError(
                f"data.test_split: '{data.test_split}' has {test.num_classes} classes and images "
                f"{test.image_shape}; train has {train.num_classes} and {train.image_shape}"
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


def _statistics(
    data: ConfigDict, train: Split | None, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for name in ("mean", "std"):
        if data[name] and len(data[name]) != channels:
            raise UserError(
                f"data.{name}: {len(data[name])} values for images of {channels} channels"
            )
    if data.std and min(data.std) <= 0:
        raise UserError(f"data.std: {tuple(data.std)} has to be positive")
    if data.mean and data.std:
        return tuple(data.mean), tuple(data.std)
    if train is None:
        raise UserError("data.mean, data.std: give both, as train is not opened to measure them")
    mean, std = measure(train)
    return tuple(data.mean) or mean, tuple(data.std) or std


def measure(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of the pixels / 255, per channel.

    Over all examples, or 10,000 evenly spaced ones when there are more. Pixels are counted by
    value, so the result is exact to float64 whatever the order. A channel without any variation
    gets standard deviation 1.
    """
    chosen = np.arange(min(len(split), _MEASURED)) * len(split) // min(len(split), _MEASURED)
    channels = split.image_shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(chosen), _CHUNK):
        images, _ = split.read(chosen[start : start + _CHUNK])
        for channel in range(channels):
            counts[channel] += np.bincount(images[..., channel].ravel(), minlength=256)
    share = counts / counts.sum(axis=1, keepdims=True)
    values = np.arange(256) / 255.0
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))
    return tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist())
