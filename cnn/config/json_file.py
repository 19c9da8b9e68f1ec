"""Reading JSON files of run folders, which may be truncated or edited."""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnn.config.errors import UserError

Kinds = Mapping[str, type | tuple[type, ...]]


def read_json(
    file: Path, kinds: Kinds | None = None, optional: Kinds | None = None
) -> dict[str, Any]:
    """Reads an object, and checks that it has the fields that the caller goes on to use.

    Args:
      file: to read.
      kinds: "field" or "field.inner" -> what its value has to be; a float may be an integer, and
        is finite.
      optional: likewise, of fields that may be missing.

    Raises:
      UserError: names the file, the place and what is wrong there.
    """
    found = _parse(file)
    if not isinstance(found, dict):
        raise UserError(f"{file}: does not contain a JSON object; restore the file from a copy")
    for field, kind in (kinds or {}).items():
        _check(file, found, field, kind)
    for field, kind in (optional or {}).items():
        outer, _, inner = field.rpartition(".")
        if inner in (found.get(outer, {}) if outer else found):
            _check(file, found, field, kind)
    return found


def read_texts(file: Path) -> list[str]:
    """Reads a list of texts.

    Raises:
      UserError: names the file, the place and what is wrong there.
    """
    found = _parse(file)
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise UserError(f"{file}: is not a JSON list of texts; restore the file from a copy")
    return found


def _parse(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes().decode())
    except FileNotFoundError as error:
        raise UserError(f"{file}: there is no such file; restore it from a copy") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file}, byte {error.start}: is not valid UTF-8; restore the file from a copy"
        ) from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{file}, line {error.lineno}, column {error.colno}: is not valid JSON ({error.msg}); "
            "restore the file from a copy"
        ) from error
    except RecursionError as error:
        raise UserError(f"{file}: is nested too deeply; restore the file from a copy") from error
    except ValueError as error:  # Python reads no integer of more than 4300 digits.
        raise UserError(f"{file}: {error}; restore the file from a copy") from error


def digest(content: Any) -> str:
    """Returns the SHA-256 of a JSON value, whatever the order of its fields and its spaces."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def seal(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a record with the SHA-256 of its other fields as the last field, "sha256"."""
    plain = json.loads(json.dumps(record))
    return plain | {"sha256": digest(plain)}


def check_seal(file: Path, record: Mapping[str, Any], instead: str) -> None:
    """Refuses a record that was edited after `seal`; a record without "sha256" is taken as it is.

    Args:
      file: that it was read from.
      record: what was read.
      instead: what to do instead of editing the file.

    Raises:
      UserError: the content does not match its SHA-256.
    """
    content = {name: value for name, value in record.items() if name != "sha256"}
    if record.get("sha256", digest(content)) != digest(content):
        raise UserError(
            f"{file}: was changed after it was written: its content does not match its sha256; "
            f"restore the file from a copy. {instead}"
        )


def _check(file: Path, found: Any, field: str, kind: type | tuple[type, ...]) -> None:
    value = found
    for part in field.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UserError(f"{file}: has no field '{field}'; restore the file from a copy")
        value = value[part]
    if not is_kind(value, kind):
        raise UserError(
            f"{file}: the field '{field}' is {_shown(value)}; restore the file from a copy"
        )


def is_kind(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether a value read from JSON is of a kind: True, NaN and 10**400 are no numbers."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int | float) and not abs(value) <= sys.float_info.max:
        return False
    return isinstance(value, (*kinds, int) if float in kinds else kinds)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
