"""The data set of a run: its splits, their statistics and class names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from cnn.config.durations import to_examples
from cnn.config.errors import UserError
from cnn.data.order import random_bits
from cnn.data.signals import SIGNALS, Signal, SignalKind
from cnn.data.sources import SOURCES, Reader
from cnn.data.split import Relabelled, Split, Subset

_LISTED = 100  # files left out that a record names; more are counted


@dataclass(frozen=True)
class Dataset:
    """The splits that were asked for; the others are None.

    Attributes:
      train: without the validation split.
      validation: held out of train, or `data.validation_split`; None when there is neither.
      signal: how examples become the input of the network.
    """

    train: Split | None
    validation: Split | None
    num_classes: int
    class_names: tuple[str, ...]
    signal: Signal
    _open_test: Callable[[], Split] | None = field(repr=False, default=None)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the network's input for one example, `[*spatial, C]`."""
        return self.signal.shape

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean that the network's input is normalised with; for images, of pixels in [0, 1]."""
        return self.signal.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Likewise."""
        return self.signal.std

    @property
    def example(self) -> dict[str, Any]:
        """Shape and dtype of a stored example, as JSON values."""
        stored = self.signal.example
        return {"shape": list(stored.shape), "dtype": str(stored.dtype)}

    @cached_property
    def test(self) -> Split | None:
        """The test split, opened on first access and not before."""
        return self._open_test() if self._open_test else None

    @property
    def identity(self) -> dict[str, Any]:
        """The data that a run is tied to: class names, and count and fingerprint of each split.

        JSON values; `identity_differences` compares them. Opens the test split.
        """
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        opened = {name: split for name, split in parts.items() if split is not None}
        return {
            "class_names": list(self.class_names),
            "examples": {name: len(split) for name, split in opened.items()},
            "fingerprint": {name: split.fingerprint for name, split in opened.items()},
        }

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on the opened splits: unexpected treatment of examples, such as cropping."""
        found = []
        for split in self._opened():
            found += split.remarks
            if split.skipped:
                files = "file is" if len(split.skipped) == 1 else "files are"
                found.append(
                    f"{len(split.skipped):,} broken {files} left out of {split.name}: "
                    f"{split.skipped[0]}"
                )
        return tuple(dict.fromkeys(found))

    @property
    def skipped(self) -> dict[str, Any]:
        """The files left out of the opened splits: how many, and the first 100 with the reason."""
        files = list(dict.fromkeys(file for split in self._opened() for file in split.skipped))
        return {"count": len(files), "files": files[:_LISTED]}

    def _opened(self) -> list[Split]:
        # What is cached is in __dict__; to ask for `test` would open it.
        splits = (self.train, self.validation, self.__dict__.get("test"))
        return [split for split in splits if split is not None]


def identity_differences(stored: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Describes the differences between the splits that two data identities share."""
    if stored["class_names"] != found["class_names"]:
        before, after = (_listed(side["class_names"]) for side in (stored, found))
        return [f"classes: {before} -> {after}"]
    differing = []
    for name in (name for name in stored["examples"] if name in found["examples"]):
        before, after = stored["examples"][name], found["examples"][name]
        if before != after:
            differing.append(f"examples of {name}: {before:,} -> {after:,}")
        elif stored["fingerprint"][name] != found["fingerprint"][name]:
            differing.append(f"content or order of the {before:,} examples of {name}")
    return differing


def open_dataset(
    data: ConfigDict,
    *,
    splits: tuple[str, ...] = ("train", "validation", "test"),
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Opens a data set.

    The test split is checked at once to exist and to have train's classes, but its examples are not
    read, and its files not opened, before `Dataset.test` is used. With `splits=("test",)` the same
    holds for train.

    Args:
      data: the data section of a config.
      splits: those that will be read, of train, validation and test.
      class_names: what a network was trained on; labels become places in it, by name. None: the
        data set's own.

    Raises:
      UserError: there is no such data set or split, or a field does not fit it; `data.mean` or
        `data.std` is not given although train, on which they are measured, is not asked for;
        a class is none of `class_names`.
    """
    kind = SIGNALS.look_up(data.signal, "data.signal")
    reader = SOURCES.look_up(data.source, "data.source").open(data)
    _check_splits(reader, data, splits)

    def opened(field: str, like: Split | None = None) -> Split:
        return _open_split(reader, data, field, like, class_names)

    train, validation = None, None
    if "train" in splits or ("validation" in splits and not data.validation_split):
        train, validation = _carve(opened("train_split"), data)
    if "validation" in splits and data.validation_split:
        validation = opened("validation_split", train)
    # Opened once, even if its classes are needed before `Dataset.test`.
    open_test = cache(partial(opened, "test_split", train)) if "test" in splits else None
    shown = train or validation or open_test()
    return Dataset(
        train=train,
        validation=validation,
        num_classes=shown.num_classes,
        class_names=shown.class_names,
        signal=_open_signal(data, kind, train, shown),
        _open_test=open_test,
    )


def recorded_dataset(
    data: ConfigDict,
    recorded: Mapping[str, Any],
    open_test: Callable[[], Split] | None = None,
) -> Dataset:
    """Returns the data set of a run from what the run recorded of it; its files are not opened.

    Args:
      data: the data section of a config, mean and std given.
      recorded: {"identity": `Dataset.identity`, "example": `Dataset.example`}; of imported weights
        without class names "num_classes" in place of "identity": classes are named by their number.
      open_test: opens the test split, when it is asked for; None: it will not be.

    Raises:
      UserError: a field does not fit the examples.
    """
    kind = SIGNALS.look_up(data.signal, "data.signal")
    shape, dtype = recorded["example"]["shape"], recorded["example"]["dtype"]
    if "identity" in recorded:
        names = tuple(recorded["identity"]["class_names"])
    else:
        names = tuple(map(str, range(recorded["num_classes"])))
    return Dataset(
        train=None,
        validation=None,
        num_classes=len(names),
        class_names=names,
        signal=kind.open(data, jax.ShapeDtypeStruct(tuple(shape), dtype), data.mean, data.std),
        _open_test=open_test,
    )


def _check_splits(reader: Reader, data: ConfigDict, splits: Sequence[str]) -> None:
    """Raises `UserError` that names all missing splits."""
    problems = []
    for name in ("train", "validation", "test"):
        field = f"{name}_split"
        if name in splits and data[field]:
            try:
                reader.check(data[field], f"data.{field}")
            except UserError as error:
                problems.append(str(error))
    if problems:
        raise UserError("; ".join(dict.fromkeys(problems)))


def _open_split(
    reader: Reader,
    data: ConfigDict,
    field: str,
    like: Split | None,
    class_names: Sequence[str] | None,
) -> Split:
    """Opens the split that a field names, of the same shape and classes as `like`."""
    split = reader.split(data[field], f"data.{field}")
    _check_classes(split)
    if class_names:
        split = _named_as(class_names, split)
    if like and (split.shape, split.class_names) != (like.shape, like.class_names):
        examples = f"{SIGNALS[data.signal].stored.name}s"
        raise UserError(
            f"data.{field}: '{data[field]}' has {split.num_classes} classes and {examples} "
            f"{split.shape}; train has {like.num_classes} and {like.shape}"
        )
    return split


def _check_classes(split: Split) -> None:
    names = split.class_names
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise UserError(f"{split.name}: two classes are named '{doubled}'; rename one")
    if not all(name.strip() for name in names):
        raise UserError(f"{split.name}: a class has an empty name ({_listed(names)}); name it")
    if len(names) < 2:
        raise UserError(
            f"{split.name}: has only one class, {_listed(names)}; a classifier needs at least two"
        )


def _named_as(class_names: Sequence[str], split: Split) -> Split:
    """Returns the split with labels that are places in `class_names`."""
    if split.class_names == tuple(class_names):
        return split
    if _are_places(split.class_names, class_names):
        return Relabelled(split, tuple(class_names), [int(name) for name in split.class_names])
    unknown = [name for name in split.class_names if name not in class_names]
    if unknown:
        raise UserError(
            f"{split.name}: has the classes {_listed(split.class_names)}, but the network "
            f"was trained on {_listed(class_names)}: '{unknown[0]}' is not among these; name "
            "the classes as in training, or use other data"
        )
    places = {name: place for place, name in enumerate(class_names)}
    return Relabelled(split, tuple(class_names), [places[name] for name in split.class_names])


def _are_places(names: Sequence[str], class_names: Sequence[str]) -> bool:
    """Whether classes are numbered, as in tar shards, and the network's outputs are not."""
    return all(name.isdecimal() and int(name) < len(class_names) for name in names) and not any(
        name.isdecimal() for name in class_names
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"


def _carve(train: Split, data: ConfigDict) -> tuple[Split, Split | None]:
    """Splits train in two by a fixed permutation of its examples, whatever the run's seed."""
    held_out = to_examples(data.validation, "data.validation", examples=len(train))
    if held_out >= len(train):
        raise UserError(
            f"data.validation: '{data.validation}' holds out {held_out} of {len(train)} training "
            "examples; leave some for training"
        )
    if not held_out:
        return train, None
    if data.validation_split:
        raise UserError(
            f"data.validation: '{data.validation}' would be held out of train, but "
            f"data.validation_split='{data.validation_split}' is also given; set only one of them"
        )
    bits = random_bits(0, "validation", 0).random_raw(len(train))
    order = np.argsort(bits, kind="stable")
    kept, held = np.sort(order[:-held_out]), np.sort(order[-held_out:])
    return (
        Subset(train, kept, f"{train.name} without validation"),
        Subset(train, held, f"validation split of {train.name}"),
    )


def _open_signal(data: ConfigDict, kind: SignalKind, train: Split | None, shown: Split) -> Signal:
    """Opens the signal with the statistics of the config, or else of train."""
    example = jax.ShapeDtypeStruct(shown.shape, shown.dtype)
    count = kind.count(data, example)
    for name in ("mean", "std"):
        if data[name] and len(data[name]) != count:
            channels = f"{kind.stored.name}s of {shown.shape[-1]} channels"
            raise UserError(f"data.{name}: {len(data[name])} values for {channels}; give {count}")
    if data.std and min(data.std) <= 0:
        raise UserError(f"data.std: {tuple(data.std)} must be positive")
    mean, std = tuple(data.mean), tuple(data.std)
    if not (mean and std):
        if train is None:
            raise UserError(
                "data.mean, data.std: set both, because train is not opened to measure them"
            )
        measured = kind.measure(data, train)
        mean, std = mean or measured[0], std or measured[1]
    return kind.open(data, example, mean, std)
