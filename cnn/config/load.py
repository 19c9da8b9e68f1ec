"""Config file and command-line overrides -> one complete, checked, locked config."""

import importlib.util
import inspect
import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict

from cnn.config.base import FIELDS, get_config
from cnn.config.check import check_read, check_values
from cnn.config.errors import UserError, did_you_mean
from cnn.config.fields import changed_fields

_ALL = "cnn/config/base.py lists every field"


@dataclass(frozen=True)
class Loaded:
    """A config, and the dotted names of the fields that somebody set on purpose."""

    config: ConfigDict
    set_fields: frozenset[str]


def load(path: str, overrides: Sequence[str] = ()) -> Loaded:
    """Reads `path` ("configs/x.py" or "configs/x.py:arg") and applies "a.b=value" overrides.

    Args:
      path: a Python file with `get_config()` or `get_config(arg)`, based on configs/base.py.
      overrides: "field=value" texts, applied in order.

    Raises:
      UserError: missing or broken file, unknown field, wrong type, impossible value, or a field
        that nothing reads.
    """
    config = _run_config_file(path)
    set_in_file = changed_fields(config, get_config())
    check_values(config)
    check_read(config, set_in_file)
    overridden = {apply_override(config, text) for text in overrides}
    check_values(config)
    check_read(config, overridden)
    return Loaded(config.lock(), frozenset(set_in_file | overridden))


def _run_config_file(path: str) -> ConfigDict:
    file, _, argument = path.partition(":")
    if not Path(file).is_file():
        near = did_you_mean(file, [str(p) for p in Path("configs").rglob("*.py")])
        raise UserError(f"--config: there is no file '{file}': {near}")
    try:
        get_config = _import_file(file).get_config
        takes_argument = bool(inspect.signature(get_config).parameters)
        if argument and not takes_argument:
            raise UserError(f"--config: {file} takes no argument, so ':{argument}' must go")
        return get_config(argument) if argument else get_config()
    except UserError:
        raise
    except Exception as error:
        raise UserError(_explain(error, file)) from error


def _import_file(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"config_{Path(file).stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _explain(error: Exception, file: str) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename).name == Path(file).name]
    line = getattr(error, "lineno", None) or (lines[-1] if lines else 1)
    unknown = re.search(r'Key "(\w+)" does not exist', str(error))
    if unknown:
        names = {part for name in FIELDS for part in name.split(".")}
        hint = did_you_mean(unknown[1], names).split("allowed")[0]
        reason = f"there is no field '{unknown[1]}'; {hint}{_ALL}"
    else:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return f"{file}, line {line}: {reason}"


def apply_override(config: ConfigDict, text: str) -> str:
    """Sets one field from "a.b=value", the value read as the field's type; returns its name.

    Raises:
      UserError: unknown field, or a value of another type.
    """
    field, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--config.{field}: has no value; write --config.{field}=VALUE")
    if field not in FIELDS:
        sections = {name.rpartition(".")[0] for name in FIELDS}
        if field in sections:
            raise UserError(f"--config.{field}: is a group; set one field, like {field}.NAME=VALUE")
        near = did_you_mean(field, FIELDS).split("allowed")[0]
        raise UserError(f"--config.{field}: unknown field; {near}{_ALL}")
    with config.unlocked():
        config.update_from_flattened_dict({field: FIELDS[field].parse(value, field)})
    return field
