"""Examples stored as files, in folders or archives: broken ones, and their common shape."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnn.config.errors import UserError
from cnn.data.files import shown
from cnn.data.signals.signal import StoredShape


@dataclass(frozen=True)
class ListedFile:
    """One example.

    Attributes:
      name: of its file, relative to the folder or archive.
      label: its class.
      shape: as inspected.
      size: in bytes.
      defect: what is wrong with it, or "".
    """

    name: str
    label: int
    shape: StoredShape
    size: int
    defect: str


def without_broken(
    files: list[ListedFile], folder: Path, skip: bool
) -> tuple[list[ListedFile], tuple[str, ...]]:
    """Returns the readable files, and path and defect of each other one.

    Raises:
      UserError: a file is broken and none may be skipped, or all are.
    """
    broken = [f"{shown(folder / file.name)}: {file.defect}" for file in files if file.defect]
    if not broken:
        return files, ()
    if not skip:
        raise UserError(
            f"{broken[0]} ({len(broken)} of {len(files)} files are broken); replace or remove "
            "them, or leave them out with data.broken_files='skip'"
        )
    if len(broken) == len(files):
        raise UserError(f"{broken[0]}; all {len(files)} files are broken")
    return [file for file in files if not file.defect], tuple(broken)


def in_mixed_order(names: Sequence[str]) -> list[int]:
    """Returns the places of the names by the SHA-256 of each.

    This order is the same on every machine, mixes the classes, and does not change for the other
    files when one is added.
    """
    keys = [hashlib.sha256(os.fsencode(name)).digest() for name in names]
    return sorted(range(len(names)), key=keys.__getitem__)


def files_fingerprint(files: Sequence[ListedFile], names: Sequence[str]) -> str:
    """Returns a hash of each file's name, class, size and shape."""
    digest = hashlib.sha256("\n".join(names).encode())
    for file in files:
        digest.update(os.fsencode(f"\n{file.label} {file.size} {file.shape} {file.name}"))
    return digest.hexdigest()[:16]


def common_shape(shapes: Sequence[StoredShape]) -> StoredShape:
    """Returns each size that all shapes share, or None in its place."""
    distinct = (set(sizes) for sizes in zip(*shapes, strict=True))
    return tuple(sizes.pop() if len(sizes) == 1 else None for sizes in distinct)
