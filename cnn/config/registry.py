"""Registries: one mapping type for operators, networks, sources, schedules and metrics.

An entry is the only place that knows of it: the fields that it reads stand where it is added, its
options are the keyword-only arguments of its function, and a registry knows the fields that select
from it. So what a field may hold, and whether another one has an effect, follows from the entries.
"""

import importlib
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from ml_collections import ConfigDict

from cnn.config.call import check_options, options_of, parse_call
from cnn.config.errors import UserError, did_you_mean
from cnn.config.fields import Field

T = TypeVar("T")

# Modules that register entries; named, because this package may not import them.
HOMES = (
    "cnn.layers",
    "cnn.models",
    "cnn.data",
    "cnn.training.optimizer",
    "cnn.training.schedules",
    "cnn.training.losses",
    "cnn.training.sharpness",
    "cnn.training.trackers",
)
_REGISTRIES: list["Registry[Any]"] = []


class Registry(Mapping[str, T]):
    """A mapping from names to entries; a failed look-up is a user error with a suggestion.

    Args:
      kind: what an entry is, as the message should call it ("operator", "network").
      fields: of the config that name one of the entries.
      listed: whether the fields hold several entries, as "a, b(option=value)".
      fill: config -> config whose open fields ("" or ()) are what the entry sets them to.
    """

    def __init__(
        self,
        kind: str,
        *fields: str,
        listed: bool = False,
        fill: Callable[[ConfigDict], ConfigDict] | None = None,
    ):
        self.kind = kind
        self.fields = fields
        self.listed = listed
        self.fill = fill
        self._entries: dict[str, T] = {}
        self._reads: dict[str, frozenset[str]] = {}
        _REGISTRIES.append(self)

    def add(self, name: str, entry: T, reads: Collection[str] = ()) -> T:
        """Adds one entry; a name can be taken only once.

        Args:
          name: as it is written in a config.
          entry: the thing.
          reads: fields that have an effect with this entry and not with all of them: names within
            the section of the selecting field, or in full; of a group, all of its fields. An entry
            with an attribute `reads` says so itself.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} '{name}' is registered twice")
        self._entries[name] = entry
        self._reads[name] = frozenset(getattr(entry, "reads", reads))
        return entry

    def register(self, name: str, reads: Collection[str] = ()) -> Callable[[Any], Any]:
        """Decorator form of `add`."""
        return lambda entry: self.add(name, entry, reads)

    def look_up(self, name: str, field: str) -> T:
        """Returns the entry; raises a `UserError` that names the config field."""
        if name not in self._entries:
            raise UserError(f"{field}: unknown {self.kind} '{name}': {did_you_mean(name, self)}")
        return self._entries[name]

    def reads(self, name: str) -> frozenset[str]:
        """Returns what `add` was given."""
        return self._reads[name]

    def options(self, name: str) -> dict[str, Field]:
        """Returns the options of an entry: defaults, types, ranges and choices."""
        entry = self[name]
        if hasattr(entry, "options"):
            return entry.options()
        has_signature = inspect.isfunction(entry) or inspect.isclass(entry)
        return options_of(entry) if has_signature else {}

    def parse(self, text: str, field: str) -> tuple[str, dict[str, Any]]:
        """Checks "name" or "name(option=value)" and returns the name and the options.

        A whole number that is given for a real one becomes one: integers overflow.

        Raises:
          UserError: unknown entry, with the nearest one, or options as in `check_options`.
        """
        name, options = (text, {}) if text in self else parse_call(text, field)
        self.look_up(name, field)
        allowed = self.options(name)
        check_options(name, options, allowed, field)
        real = {k for k in options if allowed[k].kind is float and not allowed[k].several}
        return name, {k: float(value) if k in real else value for k, value in options.items()}

    def bound(self, text: str, field: str) -> Callable[..., Any]:
        """Returns the entry that a field's value names, a function, with its options set."""
        name, options = self.parse(text, field)
        return partial(self[name], **options)

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def registries() -> list[Registry[Any]]:
    """Returns all registries, filled; the first call imports their entries, and jax with them."""
    for home in HOMES:
        importlib.import_module(home)
    return _REGISTRIES
