"""Checksums of a state's arrays that do not depend on how devices and hosts share them.

Every array is read as slices along its `cut_axis`, of which each device holds some. The
checksum of a tree is the sum modulo 2^256 of the SHA-256 of its slices, each with the array's name,
type and shape and its own place (the additive hash of Bellare & Micciancio, EUROCRYPT 1997). Each
host sums the slices it holds, and the total is the same on every mesh. It detects damage, not
forgery.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from cnn.training.hosts import gather
from cnn.training.mesh import cut_axis

# Of the checksums, kept beside them.
FORM = "slices"
_MODULUS = 2**256


def checksums(parts: dict[str, Any]) -> dict[str, str]:
    """Returns a checksum of each part of a state, the same on every host; to be called on all.

    Arrays that every host holds whole must be equal on all hosts; if they are not, the checksum
    differs.

    Args:
      parts: trees of arrays by name: NumPy's, or JAX's on any mesh.
    """
    own = {name: _sums(tree) for name, tree in parts.items()}
    hosts = gather("checksums", own)
    return {name: _together([host[name] for host in hosts]) for name in parts}


def not_finite(tree: Any) -> Iterator[str]:
    """Yields the names of the arrays that contain NaN or infinity on this process."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        for _, values in _pieces(leaf):
            if not np.isfinite(values.astype(np.float32) if values.itemsize < 4 else values).all():
                yield jax.tree_util.keystr(path)
                break


def _together(sums: list[tuple[str, str]]) -> str:
    whole = {whole for whole, _ in sums}
    if len(whole) > 1:
        return f"differs between hosts: {', '.join(sorted(whole))}"
    return f"{(int(whole.pop(), 16) + sum(int(shared, 16) for _, shared in sums)) % _MODULUS:064x}"


def _sums(tree: Any) -> tuple[str, str]:
    """Returns the sums over what every host holds whole, and over this host's own part of the rest.

    A slice that several hosts hold a copy of counts on the first of them.
    """
    whole = shared = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}"
        on_every_host = is_on_every_host(leaf)
        for start, values in _pieces(leaf, own=not on_every_host):
            found = sum(_slices(name, start, cut_axis(leaf.shape), values))
            whole, shared = whole + found * on_every_host, shared + found * (not on_every_host)
    return f"{whole % _MODULUS:x}", f"{shared % _MODULUS:x}"


def _slices(name: str, start: int, axis: int | None, values: np.ndarray) -> Iterator[int]:
    rows = values[None] if axis is None else np.moveaxis(values, axis, 0)
    for place, row in enumerate(np.ascontiguousarray(rows), start):
        digest = hashlib.sha256(f"{name} {place} ".encode())
        digest.update(row.tobytes())
        yield int.from_bytes(digest.digest())


def is_whole(leaf: Any) -> bool:
    """Whether this process can read all of an array at once."""
    return not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated


def is_on_every_host(leaf: Any) -> bool:
    """Whether every host holds a copy of an array, in pieces or whole."""
    if is_whole(leaf):
        return True
    held: dict[int, set[str]] = {}
    for device, index in leaf.sharding.devices_indices_map(leaf.shape).items():
        held.setdefault(device.process_index, set()).add(str(index))
    return len(set(map(frozenset, held.values()))) == 1


def _pieces(leaf: Any, own: bool = False) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (place along the cut axis, values) of the pieces that this process holds, each once.

    Args:
      leaf: an array.
      own: leave out those of which an earlier device holds a copy.
    """
    if is_whole(leaf):
        yield 0, np.asarray(leaf)
        return
    axis, seen = cut_axis(leaf.shape), set()
    for piece in leaf.addressable_shards:
        start = piece.index[axis].start or 0
        if start not in seen and not (own and piece.replica_id):
            seen.add(start)
            yield start, np.asarray(piece.data)
