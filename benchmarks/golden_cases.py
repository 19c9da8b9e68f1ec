"""Networks of other libraries, shortened or narrowed, beside ours; for golden_weights.py."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

SIZES = ((224, 224), (193, 211))
SMALL_SIZES = ((32, 32), (45, 61))
CLASSES = 7


def use_keras() -> Any:
    """Imports Keras on PyTorch."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    return keras


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
