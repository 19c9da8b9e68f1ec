"""Class names of imported weights, in the order of the outputs."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn.config.errors import UserError
from cnn.data import SOURCES
from cnn.data.prepare.builders.imagenet import imagenet_classes

_WNID = re.compile(r"n\d{8}")


def class_names(
    fields: Mapping[str, Any], source: str, num_classes: int, file: str | None
) -> tuple[str, ...]:
    """Returns the names of a network's outputs; () if unknown.

    The 1,000 outputs of ImageNet's networks in torchvision, timm and Keras come in the order of
    WNIDs, as TFDS's labels and class folders named by WNID do. Folders named in words do not.

    Args:
      fields: that the layout sets.
      source: `data.source`.
      num_classes: of the network.
      file: lines, a JSON list, or Keras' JSON of {"0": [WNID, name], ...}; None: what the layout
        knows.

    Raises:
      UserError: the file does not fit the network, or has another order.
    """
    imagenet = fields.get("data.name") == "imagenet2012" and num_classes == 1000
    wnids = imagenet_classes() if imagenet else ()
    if file is None:
        return wnids if SOURCES[source].named_classes else ()
    names = checked_names(_read(file), num_classes, f"--class-names: {file}")
    if imagenet:
        _check_order(file, names, wnids)
    return names


def checked_names(names: tuple[str, ...], num_classes: int, where: str) -> tuple[str, ...]:
    """Returns the names if there is one for each output, all different.

    Raises:
      UserError: there is not; begins with `where`.
    """
    if len(names) != num_classes:
        raise UserError(f"{where} has {len(names)} names, but the network {num_classes} outputs")
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise UserError(f"{where} has '{doubled}' twice; make them distinct, as in the data")
    return names


def _check_order(file: str, names: Sequence[str], wnids: Sequence[str]) -> None:
    order = f"the order of WNIDs, from {wnids[0]} (tench) to {wnids[-1]} (toilet tissue)"
    if all(map(_WNID.fullmatch, names)) and tuple(names) != tuple(wnids):
        place = next(i for i in range(len(names)) if names[i] != wnids[i])
        raise UserError(
            f"--class-names: {file} has {names[place]} for output {place}, which is "
            f"{wnids[place]}: these weights have {order}"
        )
    if not _WNID.fullmatch(names[0]) and _is_alphabetical(names):
        raise UserError(
            f"--class-names: {file} is in alphabetical order, but these weights use {order}; list "
            "the names in that order"
        )


def _is_alphabetical(names: Sequence[str]) -> bool:
    lower = [name.casefold() for name in names]
    return lower == sorted(lower)


def _read(file: str) -> tuple[str, ...]:
    path = Path(file)
    if not path.is_file():
        raise UserError(f"--class-names: there is no file {file}")
    try:
        text = path.read_text("utf-8")
        if not text.lstrip().startswith(("[", "{")):
            return tuple(line.strip() for line in text.splitlines() if line.strip())
        found = json.loads(text)
        if isinstance(found, dict):
            found = [found[str(i)] for i in range(len(found))]
        return tuple(e if isinstance(e, str) else str(e[0]) for e in found)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(
            f"--class-names: {file} holds neither a name in each line, nor a JSON list, nor "
            'Keras\' {"0": [WNID, name], ...}'
        ) from error
