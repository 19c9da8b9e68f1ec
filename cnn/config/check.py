"""Checks of the values of a config, and of fields that have no effect."""

from collections.abc import Iterable, Iterator

from ml_collections import ConfigDict

from cnn.config.base import FIELDS
from cnn.config.call import split_calls
from cnn.config.errors import UserError
from cnn.config.fields import leaves
from cnn.config.registry import Registry, registries


def check_values(config: ConfigDict) -> None:
    """Refuses invalid values.

    A selecting field whose default is "" may be left open: the network's authors chose.

    Raises:
      UserError: names the field, its value and what is allowed.
    """
    values = dict(leaves(config))
    for name, field in FIELDS.items():
        field.check(values[name], name)
    for registry in registries():
        for name in registry.fields:
            value = values[name]
            for text in split_calls(value) if registry.listed else [value]:
                if text or FIELDS[name].default:
                    registry.parse(text, name)


def check_read(config: ConfigDict, fields: Iterable[str]) -> None:
    """Refuses fields that were set but have no effect with what the config selects.

    Raises:
      UserError: names the field, the selection, and the selections that read it.
    """
    for registry in registries():
        config = registry.fill(config) if registry.fill else config
    values = dict(leaves(config))
    for field in sorted(fields):
        for selector, readers in _conditions(field):
            selected = str(values[selector]).partition("(")[0]
            if selected in readers:
                continue
            others = sorted(readers)
            few = len(others) < 12
            shown = " or ".join(others) if few else f"one of {len(others)} that read it"
            raise UserError(
                f"{field}: has no effect with {selector}={selected}; leave it out, or set "
                f"{selector} to {shown}"
            )


def is_read(config: ConfigDict, field: str) -> bool:
    """Whether a field has an effect with what the config selects."""
    try:
        check_read(config, [field])
    except UserError:
        return False
    return True


def concerns(field: str, signal: str) -> bool:
    """Whether a field has an effect on runs with this signal."""
    return all(
        signal in readers for selector, readers in _conditions(field) if selector == "data.signal"
    )


def _conditions(field: str) -> Iterator[tuple[str, set[str]]]:
    """Yields the selections for which a field is read: a selecting field and its values."""
    if FIELDS[field].when:
        selector, _, readers = FIELDS[field].when.partition("=")
        yield selector, set(readers.split("|"))
    for registry in registries():
        names = _names_of(field, registry)
        readers = {name for name in registry if not names.isdisjoint(registry.reads(name))}
        if readers:
            yield registry.fields[0], readers


def _names_of(field: str, registry: Registry) -> set[str]:
    """Returns the words by which an entry can say that it reads a field.

    They are its name and those of the groups that it belongs to, in full or below the registry's
    own section.
    """
    parts = field.split(".")
    full = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    section = registry.fields[0].rpartition(".")[0] if registry.fields else ""
    below = {name.removeprefix(f"{section}.") for name in full if name.startswith(f"{section}.")}
    return full | below
