"""Repositories of networks for CIFAR-10, written in PyTorch."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from cnn.foreign.layouts.families import blocks_of, resnet, vgg
from cnn.foreign.layouts.layout import (
    CIFAR10,
    IMAGENET,
    LAYOUTS,
    TORCH,
    TORCH_MODEL,
    Counterpart,
    Layout,
    NamePair,
)
from cnn.foreign.tensor_form import conv_of_linear
from cnn.models.plain import Plain
from cnn.models.resnet import ResNet

_BASE = TORCH_MODEL | CIFAR10
_CIFAR_STEM = {"model.stem": "cifar"}
# A flattening head fits one image size only, and these networks use another one.
_SIZE = {"data.image_size": 32}


def _add(name: str, about: str, networks: dict[str, Counterpart]) -> None:
    LAYOUTS.add(name, Layout(about, TORCH, networks, unused=("num_batches_tracked",)))


def _order(stage: int, features: tuple[int, ...]) -> tuple[int, ...]:
    """Returns for each channel of a stage's output the index that it has there.

    `LambdaLayer` puts half of the zero channels first; here all of them are last.
    """
    order = tuple(range(features[0]))
    for width in features[1 : stage + 1]:
        before = width // 4
        moved = tuple(before + index for index in order)
        order = (*moved, *(i for i in range(width) if i not in set(moved)))
    return order


def _padded_in_the_middle(network: ResNet) -> Iterator[NamePair]:
    orders = [_order(stage, network.features) for stage in range(len(network.features))]
    places = {ours: (stage, block) for stage, block, ours in blocks_of(network)}
    for site in resnet(network, classifier="linear"):
        ours, _, rest = site.ours.partition("/")
        if site.ours == "head/classifier":
            site = replace(site, inputs=orders[-1])
        elif ours in places:
            stage, block = places[ours]
            if rest.startswith("conv1/conv"):
                site = replace(site, inputs=orders[stage - (block == 0 and stage > 0)])
            elif rest.startswith("conv2"):
                site = replace(site, outputs=orders[stage])
        yield site


def _wide(network: ResNet) -> Iterator[NamePair]:
    yield NamePair("stem/conv1", "conv1")
    for stage, block, ours in blocks_of(network):
        theirs = f"block{stage + 1}.layer.{block}"
        for i in (1, 2):
            yield NamePair(f"{ours}/norm{i}", f"{theirs}.bn{i}")
            yield NamePair(f"{ours}/conv{i}", f"{theirs}.conv{i}")
        yield NamePair(f"{ours}/shortcut/projection", f"{theirs}.convShortcut")
    yield NamePair("norm", "bn1")
    yield NamePair("head/classifier", "fc")


def _vgg(network: Plain, hidden: tuple[str, ...], classifier: str) -> Iterator[NamePair]:
    return vgg(network, hidden=hidden, classifier=classifier)


def _all_conv(network: Plain) -> Iterator[NamePair]:
    number = 0
    for ours, block, _ in network.named_blocks():
        number += 1
        yield NamePair(f"{ours}/conv", f"conv{number}")
        if block.reduces:
            number += 1
            yield NamePair(f"{ours}/downsample/conv", f"conv{number}")
    yield NamePair("head/classifier", "class_conv", conv_of_linear)


_add(
    "all_conv",
    "conv1 to conv8 and class_conv, as repositories of All-CNN-C name them",
    {
        "all_cnn_c": Counterpart(
            "All-CNN-C",
            _all_conv,
            _BASE,
            (
                "the last 3x3 convolution is unpadded and no ReLU comes after class_conv, as in "
                "the paper; repositories that do otherwise give other logits",
            ),
        )
    },
)
# Its networks use ImageNet's normalisation.
_add(
    "resnet_cifar10",
    "github.com/akamaster/pytorch_resnet_cifar10, option A by LambdaLayer",
    {
        f"resnet{depth}": Counterpart(
            f"resnet{depth}",
            _padded_in_the_middle,
            _BASE | {name: IMAGENET[name] for name in ("data.mean", "data.std")},
        )
        for depth in (20, 32, 44, 56, 110)
    },
)
_add(
    "pytorch_cifar_models",
    "github.com/chenyaofo/pytorch-cifar-models",
    {
        **{
            f"resnet{depth}": Counterpart(
                f"cifar10_resnet{depth}", resnet, _BASE | {"model.shortcut": "projection"}
            )
            for depth in (20, 32, 44, 56)
        },
        **{
            f"vgg{depth}_bn": Counterpart(
                f"cifar10_vgg{depth}_bn",
                partial(_vgg, hidden=("classifier.0", "classifier.3"), classifier="classifier.6"),
                _BASE | {"model.head": "flatten(hidden=(512, 512))", **_SIZE},
            )
            for depth in (11, 13, 16, 19)
        },
    },
)
_add(
    "pytorch_cifar",
    "github.com/kuangliu/pytorch-cifar",
    {
        **{
            f"resnet{depth}": Counterpart(
                f"ResNet{depth}",
                partial(resnet, shortcut=("shortcut.0", "shortcut.1"), classifier="linear"),
                _BASE | _CIFAR_STEM,
            )
            for depth in (18, 34, 50, 101, 152)
        },
        **{
            f"vgg{depth}_bn": Counterpart(
                f"VGG{depth}",
                partial(_vgg, hidden=(), classifier="classifier"),
                _BASE | {"model.head": "flatten", **_SIZE},
            )
            for depth in (11, 13, 16, 19)
        },
    },
)
_add(
    "wide_resnet",
    "github.com/xternalz/WideResNet-pytorch",
    {
        f"wrn{depth}_{k}": Counterpart(
            f"WRN-{depth}-{k}",
            _wide,
            _BASE
            | {
                "data.mean": tuple(m / 255 for m in (125.3, 123.0, 113.9)),
                "data.std": tuple(s / 255 for s in (63.0, 62.1, 66.7)),
            },
        )
        for depth, k in ((16, 4), (16, 8), (22, 8), (28, 10), (28, 12), (40, 1), (40, 2), (40, 4))
    },
)
