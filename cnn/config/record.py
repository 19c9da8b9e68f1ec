"""The stored config of a run: JSON, a fingerprint, and differences from another."""

import hashlib
import json
from typing import Any

from ml_collections import ConfigDict

from cnn.config.base import FIELDS, get_config
from cnn.config.check import concerns
from cnn.config.errors import UserError
from cnn.config.fields import leaves

# Fields that may differ when a run goes on: they say where and how, never what is computed.
FREE_FIELDS = frozenset(name for name, field in FIELDS.items() if field.free)
# Fields of earlier versions that never changed what is computed; run folders may hold them.
RETIRED_FIELDS = frozenset({"log.tensorboard"})


def to_plain(config: ConfigDict) -> dict[str, Any]:
    """Returns the config as nested dicts of JSON values (tuples become lists)."""
    return json.loads(config.to_json())


def from_plain(plain: dict[str, Any]) -> ConfigDict:
    """Rebuilds a locked config: the default one with the stored values and their types.

    Raises:
      UserError: the stored config has fields that this version of the code does not know, or values
        that they cannot have.
    """
    config = get_config()
    stored = {n: value for n, value in leaves(ConfigDict(plain)) if n not in RETIRED_FIELDS}
    unknown = sorted(set(stored) - set(FIELDS))
    if unknown:
        raise UserError(
            f"the stored config has fields that this version does not know: {', '.join(unknown)}; "
            "use the version of the code that wrote it"
        )
    with config.unlocked():
        for name, value in stored.items():
            frozen = _freeze(value) if FIELDS[name].several else value
            FIELDS[name].check(frozen, f"the stored config: {name}")
            config.update_from_flattened_dict({name: frozen})
    return config.lock()


def _freeze(value: Any) -> Any:
    return tuple(_freeze(v) for v in value) if isinstance(value, list | tuple) else value


def fingerprint(config: ConfigDict, start: str = "") -> str:
    """Returns 16 hexadecimal digits over everything that affects a run's results.

    Args:
      config: of the run.
      start: SHA-256 of the weights that `init_from` brought; "" without any.

    Fields of other signals are left out, so that a new signal changes no run's fingerprint; nor
    does a field that was added later, where it is at its default.
    """
    signal = config.data.signal
    fixed = {
        name: value
        for name, value in leaves(config)
        if name not in FREE_FIELDS
        and concerns(name, signal)
        and not (FIELDS[name].later and value == FIELDS[name].default)
    }
    text = json.dumps(fixed, sort_keys=True) + start
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(stored: ConfigDict, given: ConfigDict) -> list[str]:
    """Returns "field: stored -> given" for every difference that changes a run's results."""
    before, after = dict(leaves(stored)), dict(leaves(given))
    return [
        f"{name}: {before.get(name)!r} -> {after.get(name)!r}"
        for name in sorted(before.keys() | after.keys())
        if name not in FREE_FIELDS and before.get(name) != after.get(name)
    ]
