"""Readers of weights files: by content, not by suffix, and without executing anything."""

import zipfile
from pathlib import Path

import numpy as np
import safetensors

from cnn.config.errors import UserError
from cnn.foreign.readers import keras_file, torch_file
from cnn.foreign.readers.weights_file import UnreadableError, WeightsFile

__all__ = ["FORMS", "WeightsFile", "read"]

FORMS = "safetensors, .npz, Keras .h5 and .keras, PyTorch .pth, .pt, .th and .bin"


def read(path: str | Path, field: str = "--from") -> WeightsFile:
    """Reads all tensors of a weights file.

    Args:
      path: the file.
      field: that messages name.

    Raises:
      UserError: there is no such file, it is of another kind, cut or damaged, or it would execute
        something; one sentence that says what.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{field}: there is no file {path}")
    try:
        found = _read(path)
    except UnreadableError as error:
        raise UserError(f"{field}: {path} {error}") from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{field}: {path} is damaged or truncated ({reason}); replace it"
        ) from error
    if not found.tensors:
        raise UserError(f"{field}: {path} ({found.form}) contains no tensors")
    return found


def _read(path: Path) -> WeightsFile:
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"PK\x03\x04"):
        return _read_archive(path)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return keras_file.read_hdf5(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 2**32:
        with safetensors.safe_open(path, "np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return WeightsFile(tensors, "safetensors", metadata=file.metadata() or {})
    if start[:1] == b"\x80":
        return torch_file.read_legacy(path)
    if start.startswith(b"version https://git-lfs"):
        raise UnreadableError("is a Git LFS pointer, not the file itself; run git lfs pull")
    raise UnreadableError(f"is not a weights file of a known format: {FORMS}")


def _read_archive(path: Path) -> WeightsFile:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if "model.weights.h5" in names:
        return keras_file.read_archive(path)
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return torch_file.read_zip(path)
    if names and all(name.endswith(".npy") for name in names):
        with np.load(path, allow_pickle=False) as arrays:
            return WeightsFile({name: arrays[name] for name in arrays.files}, "npz")
    raise UnreadableError(f"is a zip archive, but not a weights file of a known format: {FORMS}")
