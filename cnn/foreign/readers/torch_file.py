"""Files of `torch.save`: the zip format, and the pickles one after another before it."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cnn.foreign.readers.pickled import load
from cnn.foreign.readers.torch_objects import Storage, Tensor, call, storage_of
from cnn.foreign.readers.weights_file import Tensors, UnreadableError, WeightsFile

_MAGIC = 0x1950A86A20F9469CFC6C

# Entries that training scripts keep a network's tensors under, in the order of preference.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params")


def read_zip(path: Path) -> WeightsFile:
    """Reads what `torch.save` writes since version 1.6.

    Raises:
      UnreadableError: see `read_legacy`; or it holds compiled code.
    """
    with zipfile.ZipFile(path) as archive:
        names = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise UnreadableError(f"has {len(pickles)} pickles named data.pkl; one is needed")
        root = pickles[0].removesuffix("data.pkl")
        if any(name.startswith(f"{root}code/") for name in names):
            raise UnreadableError("is refused: TorchScript has code; save state_dict() instead")
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in names else b"little"
        if order.strip() != b"little":
            raise UnreadableError("is in big-endian byte order; save it on a little-endian machine")
        found: dict[str, Storage] = {}
        content = load(
            io.BytesIO(archive.read(pickles[0])), call, lambda pid: storage_of(pid, found)
        )
        for storage in found.values():
            entry = names.get(f"{root}data/{storage.key}")
            if entry is None:
                continue
            if entry.compress_type != zipfile.ZIP_STORED:
                raise UnreadableError("is compressed, which torch.save never does")
            _fill(storage, archive.read(entry))
    return _weights(content, "PyTorch, zip")


def read_legacy(path: Path) -> WeightsFile:
    """Reads what `torch.save` wrote before version 1.6: pickles, and then the storages' bytes.

    Raises:
      UnreadableError: cut, of another kind, or with a call that tensors do not need.
    """
    found: dict[str, Storage] = {}
    with path.open("rb") as stream:
        if load(stream, call, _nothing_outside) != _MAGIC:
            raise UnreadableError("is a pickle, but not one of torch.save")
        load(stream, call, _nothing_outside)
        if not load(stream, call, _nothing_outside).get("little_endian", True):
            raise UnreadableError("is in big-endian byte order; save it on a little-endian machine")
        content = load(stream, call, lambda pid: storage_of(pid, found))
        for key in load(stream, call, _nothing_outside):
            header = stream.read(8)
            storage = found.get(str(key))
            if len(header) < 8 or storage is None:
                raise UnreadableError(f"is truncated before storage '{key}'")
            (count,) = struct.unpack("<q", header)
            if count != storage.size:
                raise UnreadableError(f"sizes storage '{key}' twice: {count} and {storage.size}")
            _fill(storage, stream.read(count * storage.dtype.itemsize))
    return _weights(content, "PyTorch, before 1.6")


def _nothing_outside(described: Any) -> Any:
    raise ValueError(f"{described!r} lies outside the file")


def _fill(storage: Storage, content: bytes) -> None:
    if len(content) < storage.size * storage.dtype.itemsize:
        raise UnreadableError(
            f"is truncated: storage '{storage.key}' has {len(content)} bytes of "
            f"{storage.size * storage.dtype.itemsize}"
        )
    storage.elements = np.frombuffer(content, storage.dtype, storage.size)


def _weights(content: Any, form: str) -> WeightsFile:
    notes: list[str] = []
    content = _unwrapped(content, notes)
    tensors: Tensors = {}
    _collect(content, "", tensors, set())
    return WeightsFile(tensors, form, tuple(notes))


def _unwrapped(content: Any, notes: list[str]) -> Any:
    """Steps into the entry that holds the network, past optimizers and epochs."""
    while isinstance(content, dict) and not any(isinstance(v, Tensor) for v in content.values()):
        held = [key for key in WRAPPERS if isinstance(content.get(key), dict)]
        if not held:
            return content
        left = [str(key) for key in content if key != held[0]]
        aside = f"; left aside: {', '.join(left)}" if left else ""
        notes.append(f"taken from its entry '{held[0]}'{aside}")
        content = content[held[0]]
    return content


def _collect(value: Any, name: str, tensors: Tensors, seen: set[int]) -> None:
    if isinstance(value, Tensor):
        tensors[name] = value.array()
    elif isinstance(value, dict | list | tuple) and id(value) not in seen:
        # Each container once: one that holds itself would never end.
        seen.add(id(value))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, held in items:
            _collect(held, f"{name}.{key}" if name else str(key), tensors, seen)
