"""Writes tests/golden/weights: what PyTorch, torchvision, timm and Keras compute and save.

    pip install torch==2.14.1 torchvision==0.29.1 timm==1.0.31 keras==3.15.1 h5py
    python benchmarks/golden_weights.py

The networks' tensors are functions of their names, so that the files hold names, shapes and logits
only and the tests make the same tensors again. Needed for writing the files only.
"""

import os
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "tests" / "golden" / "weights"
SIZES = ((224, 224), (193, 211))
SMALL_SIZES = ((32, 32), (29, 35))
CLASSES = 7


def values(name: str, shape: tuple[int, ...], fan_in: int = 1) -> np.ndarray:
    """Returns the float32 tensor of a name: like trained weights in scale, and nowhere trivial.

    Kernels have variance 2 / fan_in, scales and variances lie in (0.5, 1.5), the rest in
    (-0.2, 0.2). `RandomState` keeps its streams from version to version.
    """
    draws = np.random.RandomState(zlib.crc32(name.encode())).random_sample(shape) - 0.5
    if len(shape) > 1:
        return np.float32(draws * np.sqrt(24 / fan_in))
    last = name.replace("/", ".").rpartition(".")[2]
    about_one = last in ("weight", "gamma", "running_var", "moving_variance")
    return np.float32(draws + 1 if about_one else draws * 0.4)


def images(size: tuple[int, int]) -> np.ndarray:
    """Returns float32 network inputs `[2, H, W, 3]`."""
    return np.float32(np.random.RandomState(sum(size)).random_sample((2, *size, 3)) * 4 - 2)


def write_files() -> None:
    """Writes small files as PyTorch and Keras save them, for the readers."""
    import torch

    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    state = layers.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            tensor.copy_(torch.tensor(values(name, tuple(tensor.shape))))
    torch.save(state, FOLDER / "tiny.pth")
    wrapped = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(wrapped, FOLDER / "tiny_legacy.th", _use_new_zipfile_serialization=False)
    views = torch.arange(24.0).reshape(2, 3, 4)
    odd = {
        "transposed": views.permute(2, 0, 1),
        "sliced": views[1, :, 1:3],
        "bfloat16": views.to(torch.bfloat16),
        "parameter": torch.nn.Parameter(views),
        "empty": views[:0],
    }
    torch.save(odd, FOLDER / "views.pt")
    torch.save(layers, FOLDER / "module.pt")
    keras = use_keras()
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, name="one"),
            keras.layers.BatchNormalization(name="two"),
            keras.layers.DepthwiseConv2D(3, name="three"),
        ]
    )
    set_keras(network)
    network.save(FOLDER / "tiny.keras")
    network.save(FOLDER / "tiny.h5")
    network.save_weights(FOLDER / "tiny.weights.h5")


def use_keras() -> Any:
    """Imports Keras on PyTorch."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    return keras


def keras_names(network: Any) -> Iterable[tuple[str, Any]]:
    """Yields "layer/variable" and the variable, of all layers."""
    for layer in network.layers:
        for variable in layer.variables:
            if "seed" not in variable.name:
                yield f"{layer.name}/{variable.name}", variable


def set_keras(network: Any) -> dict[str, tuple[int, ...]]:
    """Gives a Keras network the values of its names; returns the shapes."""
    shapes = {}
    for name, variable in keras_names(network):
        shape = tuple(variable.shape)
        shapes[name] = shape
        variable.assign(values(name, shape, fan_in(shape, keras=True)))
    return shapes


def fan_in(shape: tuple[int, ...], *, keras: bool = False) -> int:
    """Returns the inputs of one output of a kernel; of a depthwise one, k squared."""
    inputs = shape[:-1] if keras else shape[1:]
    if keras and shape[-1] == 1 and len(shape) == 4:
        inputs = shape[:2]
    return int(np.prod(inputs))


def main() -> None:
    """Writes the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_files()
    sizes = sum(p.stat().st_size for p in FOLDER.iterdir())
    print(f"{FOLDER}: {len(list(FOLDER.iterdir()))} files, {sizes} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
