"""Config file and command-line overrides -> one complete, checked, locked config."""

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cnn.config.base import FIELDS, get_config
from cnn.config.check import check_read, check_values
from cnn.config.errors import UserError, nearest
from cnn.config.fields import changed_fields, leaves
from cnn.config.plugin import load_plugins
from cnn.config.python_file import explain, find_file, import_file, user_errors
from cnn.config.synonyms import SYNONYMS

_ALL = "cnn/config/base.py lists every field"


@dataclass(frozen=True)
class Loaded:
    """A config, and the dotted names of the fields that somebody set on purpose."""

    config: ConfigDict
    set_fields: frozenset[str]


def load(path: str, overrides: Sequence[str] = (), plugins: Sequence[str] = ()) -> Loaded:
    """Reads `path` ("configs/x.py" or "configs/x.py:arg") and applies "a.b=value" overrides.

    Args:
      path: a Python file with `get_config()` or `get_config(arg)`, based on cnn/config/base.py.
      overrides: "field=value" texts, applied in order.
      plugins: files that register what the config names; see `cnn.config.plugin`.

    Raises:
      UserError: missing or broken file, unknown field, wrong type, impossible value, or a field
        that nothing reads.
    """
    for text in overrides:
        _parsed(
            text
        )  # Before anything imports jax, so that a mistyped override is refused at once.
    found = load_plugins(plugins)
    config = _run_config_file(path)
    set_in_file = changed_fields(config, get_config())
    check_values(config)
    check_read(config, set_in_file)
    overridden = {apply_override(config, text) for text in overrides}
    if "plugins" in set_in_file | overridden:
        raise UserError("plugins: cannot be set, as it records what was loaded; use --plugin=FILE")
    check_values(config)
    check_read(config, overridden)
    with config.unlocked():
        config.plugins = found
    return Loaded(config.lock(), frozenset(set_in_file | overridden))


def ready_configs(folder: str = "configs") -> list[Path]:
    """Returns the files below a folder of the working directory, or else of the repository."""
    here, root = Path(folder), Path(__file__).parents[2] / folder
    return [*(here if here.is_dir() else root).rglob("*.py")]


def _run_config_file(path: str) -> ConfigDict:
    file, _, argument = path.partition(":")
    file = find_file(file, "--config", ready_configs())
    with user_errors(file, _explain):
        get = import_file(file, f"config_{Path(file).stem}").get_config
        takes_argument = bool(inspect.signature(get).parameters)
        if argument and not takes_argument:
            raise UserError(f"--config: {file} takes no argument; remove ':{argument}'")
        config = get(argument) if argument else get()
    if not isinstance(config, ConfigDict):
        kind = type(config).__name__
        raise UserError(f"{file}: get_config() returns {kind}; return a ConfigDict")
    if missing := FIELDS.keys() - dict(leaves(config)).keys():
        raise UserError(
            f"{file}: get_config() returns a config without '{min(missing)}'; start from that of "
            "configs/base.py"
        )
    return config


def _explain(error: Exception) -> str:
    """Returns what is wrong in a config file, which may name a field that there is not."""
    unknown = re.search(r'Key "(\w+)" does not exist', str(error))
    if unknown:
        return f"there is no field '{unknown[1]}'; {_meant(unknown[1])}{_ALL}"
    return explain(error)


def _meant(field: str) -> str:
    """Returns "did you mean 'x'? ": a synonym, a field of another section, or a likely typo."""
    short = field.rpartition(".")[2].lower()
    same = [name for name in FIELDS if name.rpartition(".")[2] == short]
    synonym = SYNONYMS.get(field) or SYNONYMS.get(short)
    if near := synonym or nearest(field, same) or "".join(same[:1]) or _typo(field):
        return f"did you mean '{near}'? "
    return ""


def _typo(field: str) -> str:
    if "." in field:
        return nearest(field, FIELDS)
    last = {name.rpartition(".")[2]: name for name in reversed(FIELDS)}
    return last.get(nearest(field, last), "")


def apply_override(config: ConfigDict, text: str) -> str:
    """Sets one field from "a.b=value", the value read as the field's type; returns its name.

    Raises:
      UserError: unknown field, or a value of another type or out of range.
    """
    field, value = _parsed(text)
    with config.unlocked():
        config.update_from_flattened_dict({field: value})
    return field


def _parsed(text: str) -> tuple[str, Any]:
    field = field_of(text)
    value = FIELDS[field].parse(text.partition("=")[2], field)
    FIELDS[field].check(value, field)
    return field, value


def field_of(text: str) -> str:
    """Returns the name of the field that "a.b=value" sets.

    Raises:
      UserError: there is no such field, or no value.
    """
    field, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--config.{field}: needs a value; write --config.{field}=VALUE")
    if field not in FIELDS:
        of_group = [name for name in FIELDS if name.startswith(f"{field}.")]
        if of_group:
            one = f"{field}.name" if f"{field}.name" in FIELDS else of_group[0]
            raise UserError(f"--config.{field}: is a group of fields; set one, like {one}={value}")
        raise UserError(f"--config.{field}: unknown field; {_meant(field)}{_ALL}")
    return field
