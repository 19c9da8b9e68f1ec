"""Weights of Keras: HDF5 of Keras 2 and its applications, `.weights.h5` and `.keras` of Keras 3."""

import io
import re
import zipfile
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from cnn.foreign.readers.weights_file import Tensors, WeightsFile

# Keras 3 numbers the variables of a layer; by the class of the layer, what they are.
_VARIABLES = {
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "layer_normalization": ("gamma", "beta"),
    "layer_scale": ("gamma",),
    "normalization": ("mean", "variance", "count"),
    "separable_conv": ("depthwise_kernel", "pointwise_kernel", "bias"),
}
_OTHERS = ("kernel", "bias")


def read_hdf5(source: Path | BinaryIO) -> WeightsFile:
    """Reads every data set of an HDF5 file; links to other files are not followed.

    Names are `layer/variable`: of Keras 2 without the groups around and the `:0`, of Keras 3 by the
    name that the layer had.
    """
    tensors: Tensors = {}

    def visit(path: str, item: h5py.Group | h5py.Dataset) -> None:
        # A data set can keep its bytes in other files, which this one may not read.
        if isinstance(item, h5py.Dataset) and not item.external and not item.is_virtual:
            numbered = re.fullmatch(r"(.*)/vars/(\d+)", path)
            named = _numbered(item, numbered) if numbered else _named(path)
            if named:
                tensors[named] = np.asarray(item)

    with h5py.File(source, "r") as file:
        file.visititems(visit)
    return WeightsFile({_one_name(name, tensors): t for name, t in tensors.items()}, "Keras, HDF5")


def read_archive(path: Path) -> WeightsFile:
    """Reads the weights of a `.keras` archive; its configuration is never built."""
    with zipfile.ZipFile(path) as archive:
        found = read_hdf5(io.BytesIO(archive.read("model.weights.h5")))
    return WeightsFile(found.tensors, "Keras, .keras archive")


def _one_name(name: str, tensors: Tensors) -> str:
    """Returns `kernel` for the kernel of a depthwise convolution, as Keras 3 calls it."""
    layer, _, variable = name.rpartition("/")
    alone = variable == "depthwise_kernel" and f"{layer}/pointwise_kernel" not in tensors
    return f"{layer}/kernel" if alone else name


def _named(path: str) -> str | None:
    """Returns `layer/variable`, or None for what an optimizer keeps."""
    parts = path.split("/")
    if parts[0] == "optimizer_weights":
        return None
    variable = parts[-1].removesuffix(":0")
    # The layer scale of Keras' ConvNeXt has no name of its own.
    variable = "gamma" if re.fullmatch(r"[vV]ariable(_\d+)?", variable) else variable
    return "/".join((*parts[-2:-1], variable))


def _numbered(item: h5py.Dataset, match: re.Match[str]) -> str | None:
    path, number = match[1], int(match[2])
    if path.split("/")[0] == "optimizer":
        return None
    kind = re.sub(r"_\d+$", "", path.rpartition("/")[2])
    fitting = (names for start, names in _VARIABLES.items() if kind.startswith(start))
    names = next(fitting, _OTHERS)
    layer = item.parent.attrs.get("name", path.rpartition("/")[2])
    return f"{layer}/{names[number] if number < len(names) else number}"
