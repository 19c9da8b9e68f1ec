"""Config fields: default, allowed values, meaning, and when they are read."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ml_collections import ConfigDict

from cnn.config.durations import parse_duration, parse_share
from cnn.config.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Interval:
    """An interval in mathematical notation: "[0, 1)" contains 0 but not 1."""

    text: str

    def __contains__(self, value: float) -> bool:
        low, high = (float(end) for end in self.text[1:-1].split(","))
        above = low <= value if self.text[0] == "[" else low < value
        below = value <= high if self.text[-1] == "]" else value < high
        # An integer can be finite and larger than every float.
        return above and below and abs(value) <= sys.float_info.max


@dataclass(frozen=True)
class Field:
    """One field of a config.

    Attributes:
      kind: of its value, or of each element of a tuple: bool, int, float or str.
      default: value.
      meaning: for whoever sets it, with the unit.
      interval: of numbers.
      choices: of values, if they are few.
      read: parses its text further, to say what is wrong with it: a length of time, such as "10
        epochs", or a part of a split, such as "10%".
      counts: how many elements a tuple may have; None: any number.
      when: another field and its values with which this one is read, such as "data.placement=auto"
        or "data.sound.features=log_mel|mfcc".
      free: it says where and how a run is computed, never what, so it may differ when one goes on.
      later: added after runs had been recorded; those are read with its default.
    """

    kind: type
    default: Any
    meaning: str
    interval: Interval | None = None
    choices: tuple[Any, ...] = ()
    read: Callable[[str, str], Any] | None = None
    counts: tuple[int, ...] | None = None
    when: str = ""
    free: bool = False
    later: bool = False

    @property
    def several(self) -> bool:
        """Whether it holds a tuple."""
        return isinstance(self.default, tuple)

    def parse(self, text: str, name: str) -> Any:
        """Reads a value from the command line; `check` says whether it is allowed.

        Raises:
          UserError: it is not of the field's type.
        """
        if not self.several:
            return self._parse_one(text.strip() if self.kind is not str else text, name)
        parts = [part.strip() for part in text.strip().strip("()[]").split(",")]
        return tuple(self._parse_one(_unquoted(part), name) for part in parts if part)

    def _parse_one(self, text: str, name: str) -> Any:
        try:
            if self.kind is str:
                return text
            if self.kind is bool:
                return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            if self.kind is int and text.lstrip("+-").isdigit():
                return int(text)
            number = float(text)
            if self.kind is int and number != int(number):
                raise ValueError
            return self.kind(number)
        except (ValueError, KeyError, OverflowError) as error:
            raise UserError(f"--config.{name}: '{text}' is not {self._asked_for()}") from error

    def _asked_for(self) -> str:
        kind = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
        return f"{kind[self.kind]} (type {self.kind.__name__})"

    def check(self, value: Any, name: str) -> None:
        """Refuses an invalid value.

        Raises:
          UserError: names the field, its value and what is allowed.
        """
        if self.several != isinstance(value, tuple):
            asked = "several values" if self.several else "one value"
            raise UserError(f"{name}: {value!r} is not {asked} of type {self.kind.__name__}")
        if self.counts and self.several and len(value) not in self.counts:
            counts = " or ".join(map(str, self.counts))
            raise UserError(f"{name}: {value} has {len(value)} values; give {counts}")
        for one in value if self.several else (value,):
            self._check_one(one, name)

    def _check_one(self, value: Any, name: str) -> None:
        # A bool is an int to Python, not to people.
        if type(value) is not self.kind and (self.kind, type(value)) != (float, int):
            raise UserError(f"{name}: {value!r} is not {self._asked_for()}")
        if self.choices and value not in self.choices:
            near = did_you_mean(str(value), map(str, self.choices))
            raise UserError(f"{name}: unknown '{value}': {near}")
        if self.interval and value not in self.interval:
            raise UserError(f"{name}: {value} is out of range; allowed: {self.interval.text}")
        if self.read:
            self.read(value, name)


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def whole(default: int, interval: str, meaning: str, **more: Any) -> Field:
    """A whole number."""
    return Field(int, default, meaning, Interval(interval), **more)


def real(default: float, interval: str, meaning: str, **more: Any) -> Field:
    """A finite number."""
    return Field(float, default, meaning, Interval(interval), **more)


def flag(default: bool, meaning: str, **more: Any) -> Field:
    """True or false."""
    return Field(bool, default, meaning, **more)


def text(default: str, meaning: str, **more: Any) -> Field:
    """A name, a path or a call; an entry of the registry that the field selects from, if any."""
    return Field(str, default, meaning, **more)


def choice(choices: tuple[Any, ...], meaning: str, **more: Any) -> Field:
    """One of a few values, of which the first is the default."""
    return Field(type(choices[0]), choices[0], meaning, choices=choices, **more)


def duration(default: str, meaning: str, **more: Any) -> Field:
    """A duration."""
    return Field(str, default, meaning, read=parse_duration, **more)


def split_share(default: str, meaning: str, **more: Any) -> Field:
    """A share of a split."""
    return Field(str, default, meaning, read=parse_share, **more)


def several(one: Field, *default: Any, **more: Any) -> Field:
    """A tuple of values, each of which `one` describes."""
    return replace(one, default=default, **more)


def prefixed(name: str, /, **fields: Field) -> dict[str, Field]:
    """Returns the fields of a section by their dotted names."""
    return {f"{name}.{short}": field for short, field in fields.items()}


def leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every field by its dotted name, with its value."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def changed_fields(config: ConfigDict, reference: ConfigDict) -> set[str]:
    """Returns the dotted names of the fields whose values differ from the reference's."""
    before = dict(leaves(reference))
    return {name for name, value in leaves(config) if before.get(name) != value}
