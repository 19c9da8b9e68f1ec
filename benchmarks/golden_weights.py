"""Writes tests/golden/weights: what PyTorch, torchvision, timm and Keras compute and save.

    pip install torch==2.14.1 torchvision==0.29.1 timm==1.0.31 keras==3.15.1 h5py
    python benchmarks/golden_weights.py

The networks' tensors are functions of their names, so that the files hold names, shapes and logits
only and the tests make the same tensors again. Needed for writing the files only.
"""

import json
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.golden_cases import (
    Case,
    cifar_cases,
    keras_cases,
    timm_cases,
    torchvision_cases,
    use_keras,
)

FOLDER = Path(__file__).parents[1] / "tests" / "golden" / "weights"
FAMILIES = re.compile(
    r"(se)?resnet\d+[cd]?|resnetv2_\d+|resnext\d+_\d+x\d+d|wide_resnet\d+_2|densenet\d+|vgg\d+(_bn)?|"
    r"mobilenet_v2|mobilenetv[12]_100|convnext_(tiny|small)"
)


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


def keras_variables(layers: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yields "layer/variable" and the variable, of all layers and those inside them."""
    for layer in layers:
        if getattr(layer, "layers", None):
            yield from keras_variables(layer.layers)
            continue
        for variable in layer.variables:
            # The layer scale of ConvNeXt has no name of its own.
            name = "gamma" if variable.name.startswith("variable") else variable.name
            yield f"{layer.name}/{name}", variable


def set_keras(network: Any) -> dict[str, tuple[int, ...]]:
    """Gives a Keras network the values of its names; returns the shapes."""
    shapes = {}
    for name, variable in keras_variables(network.layers):
        if not name.endswith("seed_generator_state"):
            shapes[name] = tuple(variable.shape)
            variable.assign(values(name, shapes[name], fan_in(shapes[name], keras=True)))
    return shapes


def fan_in(shape: tuple[int, ...], *, keras: bool = False) -> int:
    """Returns the inputs of one output of a kernel; of a depthwise one, k squared."""
    inputs = shape[:-1] if keras else shape[1:]
    if keras and shape[-1] == 1 and len(shape) == 4:
        inputs = shape[:2]
    return int(np.prod(inputs))


def set_torch(network: Any) -> dict[str, tuple[int, ...]]:
    """Gives a PyTorch network the values of its names; returns the shapes."""
    import torch

    shapes = {}
    for name, tensor in network.state_dict().items():
        shapes[name] = tuple(tensor.shape)
        if tensor.is_floating_point():
            tensor.copy_(torch.tensor(values(name, shapes[name], fan_in(shapes[name]))))
    return shapes


def logits_of_torch(network: Any, x: np.ndarray) -> np.ndarray:
    """Returns what a PyTorch network computes in evaluation for `[B, H, W, C]`."""
    import torch

    with torch.no_grad():
        return network.eval()(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()


def measure(case: Case) -> dict[str, Any]:
    """Returns what theirs computes: {"layout", "model", "fields", "tensors", "logits"}."""
    logits = {}
    for size in case.sizes:
        x = images(size)
        if case.layout == "keras":
            network = case.make(size)
            tensors = set_keras(network)
            # Those that come from Caffe see blue, green, red.
            x = x[..., ::-1] if case.model in ("resnet50_v1", "vgg16") else x
            y = network.predict(x, verbose=0)
        else:
            network = case.make()
            tensors = set_torch(network)
            y = logits_of_torch(network, x)
        logits["x".join(map(str, size))] = y.tolist()
    fields = {name: list(v) if isinstance(v, tuple) else v for name, v in case.fields.items()}
    named = {"layout": case.layout, "model": case.model, "fields": fields}
    return named | {"tensors": tensors, "logits": logits}


def write_network(case: Case) -> None:
    """Writes a network as its repository does, and what it computes for some inputs."""
    import torch

    network = case.make()
    set_torch(network)
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    content = {"state_dict": state, "best_prec1": 90.0}
    path = FOLDER / "resnet_cifar10.th"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    x = images((32, 32))
    y = logits_of_torch(network, x)
    np.savez_compressed(FOLDER / "resnet_cifar10.npz", inputs=x.transpose(0, 3, 1, 2), logits=y)


def evaluations() -> dict[str, dict[str, Any]]:
    """Returns how torchvision and timm evaluate their networks, by their names."""
    from timm import list_models
    from timm.models import get_pretrained_cfg
    from torchvision import models

    found: dict[str, dict[str, Any]] = {"torchvision": {}, "timm": {}}
    for name in filter(FAMILIES.fullmatch, models.list_models(module=models)):
        seen = next(iter(models.get_model_weights(name))).transforms()
        found["torchvision"][name] = {
            "resized": seen.resize_size[0],
            "size": seen.crop_size[0],
            "interpolation": seen.interpolation.value,
            "mean": seen.mean,
            "std": seen.std,
        }
    for name in filter(FAMILIES.fullmatch, list_models()):
        seen = get_pretrained_cfg(name)
        found["timm"][name] = {
            # As timm.data.transforms_factory has it.
            "resized": int(seen.input_size[1] / seen.crop_pct),
            "size": seen.input_size[1],
            "interpolation": seen.interpolation,
            "mean": seen.mean,
            "std": seen.std,
        }
    return found


def main() -> None:
    """Writes the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "evaluation.json").write_text(json.dumps(evaluations(), separators=(",", ":")) + "\n")
    write_files()
    for cases in (torchvision_cases, timm_cases, cifar_cases, keras_cases):
        for case in cases():
            found = measure(case)
            spread = [float(np.std(y)) for y in found["logits"].values()]
            print(case.layout, case.model, len(found["tensors"]), spread, file=sys.stderr)
            name = f"{case.layout}-{case.model}.json"
            (FOLDER / name).write_text(json.dumps(found, separators=(",", ":")) + "\n")
            if case.layout == "resnet_cifar10":
                write_network(case)
    sizes = [p.stat().st_size for p in FOLDER.iterdir()]
    print(f"{FOLDER}: {len(sizes)} files, {sum(sizes)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
