"""Names to things: one mapping type for operators, networks, sources, schedules and metrics."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from cnn.config.errors import UserError, did_you_mean

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """A mapping from names to entries whose failed look-up is a sentence for the user.

    Args:
      kind: what an entry is, as the message should call it ("operator", "network").
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Adds one entry; a name can be taken only once."""
        if name in self._entries:
            raise ValueError(f"{self.kind} '{name}' is registered twice")
        self._entries[name] = entry
        return entry

    def register(self, name: str) -> Callable[[Any], Any]:
        """Decorator form of `add`."""
        return lambda entry: self.add(name, entry)

    def look_up(self, name: str, field: str) -> T:
        """Returns the entry; raises `UserError` that names the config field it was asked in."""
        if name not in self._entries:
            raise UserError(f"{field}: unknown {self.kind} '{name}': {did_you_mean(name, self)}")
        return self._entries[name]

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
