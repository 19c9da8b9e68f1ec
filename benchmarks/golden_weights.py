"""Writes tests/golden/weights: what PyTorch, torchvision, timm and Keras compute and save.

    pip install torch==2.14.1 torchvision==0.29.1 timm==1.0.31 keras==3.15.1 h5py
    python benchmarks/golden_weights.py

The networks' tensors are functions of their names, so that the files hold names, shapes and logits
only and the tests make the same tensors again. Needed for writing the files only.
"""

import json
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

FOLDER = Path(__file__).parents[1] / "tests" / "golden" / "weights"
SIZES = ((224, 224), (193, 211))
SMALL_SIZES = ((32, 32), (45, 61))
CLASSES = 7
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


def use_keras() -> Any:
    """Imports Keras on PyTorch."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    return keras


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


@dataclass(frozen=True)
class Case:
    """A network of another library, and ours.

    Attributes:
      layout: of its tensors.
      model: our name.
      make: builds theirs, of Keras for a size of images.
      fields: of our config, besides those that the layout sets.
      sizes: of the images.
    """

    layout: str
    model: str
    make: Callable[..., Any]
    fields: dict[str, Any]
    sizes: Sequence[tuple[int, int]] = SIZES


def torchvision_cases() -> Iterator[Case]:
    """Yields networks of torchvision, shortened or narrowed."""
    from torch import nn
    from torchvision import models
    from torchvision.models.convnext import CNBlockConfig
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
    from torchvision.models.vgg import VGG, make_layers

    def vgg(*, norm: bool) -> Any:
        plan = [8, "M", 8, "M", 12, 12, "M", 12, 12, "M", 16, 16, "M"]
        network = VGG(make_layers(plan, batch_norm=norm), num_classes=CLASSES)
        inputs = 16 * 49
        linear = (nn.Linear(inputs, 24), nn.Linear(24, 20), nn.Linear(20, CLASSES))
        network.classifier = nn.Sequential(
            linear[0], nn.ReLU(), nn.Dropout(), linear[1], nn.ReLU(), nn.Dropout(), linear[2]
        )
        return network

    def convnext() -> Any:
        widths = (16, 24, 32, 40, None)
        plan = [CNBlockConfig(widths[i], widths[i + 1], 1) for i in range(4)]
        return models.ConvNeXt(plan, num_classes=CLASSES)

    def mobilenet() -> Any:
        plan = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2], [6, 64, 1, 2], [6, 96, 1, 1]]
        return models.MobileNetV2(CLASSES, width_mult=0.5, inverted_residual_setting=plan)

    one = {"depths": (1, 1, 1, 1)}
    yield Case(
        "torchvision",
        "resnet18",
        lambda: ResNet(BasicBlock, [2, 1, 1, 1], CLASSES),
        {"depths": (2, 1, 1, 1)},
    )
    yield Case("torchvision", "resnet50", lambda: ResNet(Bottleneck, [1, 1, 1, 1], CLASSES), one)
    grouped = partial(ResNet, Bottleneck, [1, 1, 1, 1], CLASSES, groups=32, width_per_group=4)
    yield Case("torchvision", "resnext50_32x4d", grouped, one)
    dense = partial(models.DenseNet, 8, (2, 1, 1, 2), 16, num_classes=CLASSES)
    fields = {"features": (8, 8, 8, 8), "depths": (2, 1, 1, 2)}
    yield Case("torchvision", "densenet121", dense, fields)
    wide = partial(ResNet, Bottleneck, [1, 1, 1, 1], CLASSES, width_per_group=128)
    yield Case("torchvision", "wide_resnet50_2", wide, one)
    narrow = {
        "features": (8, 8, 12, 12, 16),
        "head": "flatten(hidden=(24, 20), grid=7)",
    }
    yield Case("torchvision", "vgg11", lambda: vgg(norm=False), narrow)
    yield Case("torchvision", "vgg11_bn", lambda: vgg(norm=True), narrow)
    fields = {"features": (16, 24, 32, 64, 96), "depths": (1, 2, 1, 1, 1), "width": 0.5}
    yield Case("torchvision", "mobilenet_v2", mobilenet, fields)
    yield Case("torchvision", "convnext_t", convnext, one | {"features": (16, 24, 32, 40)})


def timm_cases() -> Iterator[Case]:
    """Yields networks of timm, shortened or narrowed."""
    import timm
    from timm.layers import BatchNormAct2d, create_conv2d
    from timm.models.convnext import ConvNeXt
    from timm.models.resnetv2 import ResNetV2
    from timm.models.vgg import VGG, ConvMlp
    from torch import nn

    def vgg() -> Any:
        plan = [8, "M", 8, "M", 12, 12, "M", 12, 12, "M", 16, 16, "M"]
        network = VGG(plan, CLASSES, norm_layer=nn.BatchNorm2d)
        network.pre_logits = ConvMlp(16, 20, 7, mlp_ratio=1.2)
        network.head.fc = nn.Linear(20, CLASSES)
        return network

    def preactivated() -> Any:
        forms = dict(norm_layer=BatchNormAct2d, conv_layer=create_conv2d)
        return ResNetV2((2, 1, 1, 1), (32, 64, 96, 128), CLASSES, stem_chs=8, **forms)

    def convnext() -> Any:
        widths = (16, 24, 32, 40)
        return ConvNeXt(depths=(1, 1, 1, 1), dims=widths, num_classes=CLASSES, ls_init_value=1.0)

    one = {"depths": (1, 1, 1, 1)}
    named = {
        "resnet50c": "resnet50c",
        "resnet18d": "resnet18d",
        "resnet50d": "resnet50d",
        "se_resnet50": "seresnet50",
    }
    for ours, theirs in named.items():
        make = partial(timm.create_model, theirs, layers=(1, 1, 1, 1), num_classes=CLASSES)
        yield Case("timm", ours, make, one)
    fields = {"features": (8, 16, 24, 32), "depths": (2, 1, 1, 1)}
    yield Case("timm", "preact_resnet50", preactivated, fields)
    fields = {
        "features": (8, 8, 12, 12, 16),
        "head": "flatten(hidden=(24, 20), grid=7)",
    }
    yield Case("timm", "vgg11_bn", vgg, fields)
    mobilenet = partial(timm.create_model, num_classes=CLASSES)
    yield Case("timm", "mobilenet_v1", partial(mobilenet, "mobilenetv1_100"), {})
    yield Case("timm", "mobilenet_v2", partial(mobilenet, "mobilenetv2_050"), {"width": 0.5})
    yield Case("timm", "convnext_t", convnext, one | {"features": (16, 24, 32, 40)})


def cifar_cases() -> Iterator[Case]:
    """Yields networks as the repositories for CIFAR-10 build and name them."""
    from torch import nn

    from benchmarks.torch_cifar import AllConvolutional, ResNet, Vgg, WideResNet

    small = {"sizes": SMALL_SIZES}
    hidden = (nn.Linear(16, 24), nn.ReLU(), nn.Dropout(), nn.Linear(24, 20), nn.ReLU())
    three = nn.Sequential(*hidden, nn.Dropout(), nn.Linear(20, CLASSES))
    one = nn.Linear(16, CLASSES)
    twos = {"depths": (2, 2, 2)}
    yield Case(
        "resnet_cifar10",
        "resnet20",
        lambda: ResNet((8, 16, 32), "pad", "shortcut", "linear", CLASSES),
        twos | {"features": (8, 16, 32)},
        **small,
    )
    yield Case(
        "pytorch_cifar_models",
        "resnet20",
        lambda: ResNet((16, 32, 64), "projection", "downsample", "fc", CLASSES),
        twos,
        **small,
    )
    yield Case(
        "pytorch_cifar",
        "resnet18",
        lambda: ResNet((8, 16, 24, 32), "projection", "shortcut", "linear", CLASSES),
        {"features": (8, 16, 24, 32)},
        **small,
    )
    yield Case(
        "wide_resnet",
        "wrn16_4",
        lambda: WideResNet((32, 48, 64), CLASSES),
        {"features": (32, 48, 64)},
        **small,
    )
    narrow = {"features": (8, 8, 12, 12, 16)}
    fields = narrow | {"head": "flatten(hidden=(24, 20))"}
    yield Case("pytorch_cifar_models", "vgg11_bn", lambda: Vgg(three), fields, **small)
    yield Case("pytorch_cifar", "vgg11_bn", lambda: Vgg(one), narrow, **small)
    yield Case("all_conv", "all_cnn_c", partial(AllConvolutional, CLASSES), {}, **small)


def keras_cases() -> Iterator[Case]:
    """Yields networks of keras.applications, shortened or narrowed."""
    keras = use_keras()
    from keras.src.applications import convnext, resnet

    shared = dict(weights=None, classes=CLASSES, classifier_activation=None)

    def residual(size: tuple[int, int]) -> Any:
        def stages(x: Any) -> Any:
            for stage, width in enumerate((64, 12, 16, 20)):
                blocks, stride = (2 if stage == 0 else 1), (1 if stage == 0 else 2)
                x = resnet.stack_residual_blocks_v1(
                    x, width, blocks, stride1=stride, name=f"conv{stage + 2}"
                )
            return x

        options = dict(shared, input_shape=(*size, 3), name="resnet50")
        return resnet.ResNet(stages, False, True, **options)

    def dense(size: tuple[int, int]) -> Any:
        options = dict(shared, input_shape=(*size, 3), name="densenet121")
        return keras.src.applications.densenet.DenseNet((2, 1, 1, 2), **options)

    def vgg(size: tuple[int, int]) -> Any:
        layers = [keras.Input((*size, 3))]
        for stage, (width, depth) in enumerate(((4, 2), (4, 2), (8, 3), (8, 3), (8, 3)), 1):
            for i in range(1, depth + 1):
                name = f"block{stage}_conv{i}"
                conv = keras.layers.Conv2D(width, 3, padding="same", activation="relu", name=name)
                layers.append(conv)
            layers.append(keras.layers.MaxPooling2D(2, 2))
        layers += [keras.layers.Flatten(), keras.layers.Dense(24, "relu", name="fc1")]
        layers.append(keras.layers.Dense(20, "relu", name="fc2"))
        return keras.Sequential([*layers, keras.layers.Dense(CLASSES, name="predictions")])

    def mobilenet_v1(size: tuple[int, int]) -> Any:
        options = dict(shared, input_shape=(*size, 3), alpha=0.25)
        return keras.applications.MobileNet(dropout=0.0, **options)

    def mobilenet_v2(size: tuple[int, int]) -> Any:
        return keras.applications.MobileNetV2(alpha=0.35, input_shape=(*size, 3), **shared)

    def next_generation(size: tuple[int, int]) -> Any:
        shape = dict(depths=(2, 1, 1, 1), projection_dims=(8, 12, 16, 20))
        names = dict(name="convnext_tiny", weights_name="convnext_tiny")
        options = dict(include_preprocessing=False, layer_scale_init_value=1.0)
        return convnext.ConvNeXt(**shape, **names, **options, **shared, input_shape=(*size, 3))

    even = SIZES[:1]
    depths, widths = {"depths": (2, 1, 1, 1)}, {"features": (8, 12, 16, 20)}
    yield Case("keras", "resnet50_v1", residual, depths | {"features": (64, 12, 16, 20)})
    fields = {"features": (4, 4, 8, 8, 8), "head": "flatten(hidden=(24, 20))"}
    yield Case("keras", "densenet121", dense, {"depths": (2, 1, 1, 2)})
    yield Case("keras", "vgg16", vgg, fields, even)
    yield Case("keras", "mobilenet_v1", mobilenet_v1, {"width": 0.25}, even)
    yield Case("keras", "mobilenet_v2", mobilenet_v2, {"width": 0.35})
    yield Case("keras", "convnext_t", next_generation, depths | widths)


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
