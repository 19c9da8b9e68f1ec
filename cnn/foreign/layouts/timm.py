"""PyTorch Image Models, github.com/huggingface/pytorch-image-models."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from cnn.foreign.layouts.families import blocks_of, conv_and_norm, convnext, densenet, resnet, vgg
from cnn.foreign.layouts.layout import (
    IMAGENET,
    LAYOUTS,
    TORCH,
    TORCH_MODEL,
    Counterpart,
    Layout,
    NamePair,
    NamePairs,
    evaluated,
)
from cnn.foreign.layouts.torchvision import DENSE, GELU, VGG_HEAD, WIDE
from cnn.foreign.tensor_form import conv_of_linear
from cnn.models.convnext import ConvNeXt
from cnn.models.mobilenet import MobileNet
from cnn.models.plain import Plain
from cnn.models.resnet import ResNet

_BASE = TORCH_MODEL | IMAGENET
_HALVES = {"data.mean": (0.5, 0.5, 0.5), "data.std": (0.5, 0.5, 0.5)}
_DEEP = (("conv1.0", "conv1.1"), ("conv1.3", "conv1.4"), ("conv1.6", "bn1"))
# PyTorch's ceil_mode: the shortcut of odd maps has as many outputs as the branch.
_AVERAGED = {"model.shortcut_downsample": "avg(padding='SAME')"}


def _preactivated(network: ResNet) -> Iterator[NamePair]:
    yield NamePair("stem/conv1", "stem.conv")
    for stage, block, ours in blocks_of(network):
        theirs = f"stages.{stage}.blocks.{block}"
        for i in range(1, len(network.form.windows) + 1):
            yield NamePair(f"{ours}/norm{i}", f"{theirs}.norm{i}")
            yield NamePair(f"{ours}/conv{i}", f"{theirs}.conv{i}")
        yield NamePair(f"{ours}/shortcut/projection", f"{theirs}.downsample.conv")
    yield NamePair("norm", "norm")
    yield NamePair("head/classifier", "head.fc", conv_of_linear)


def _vgg(network: Plain) -> Iterator[NamePair]:
    hidden = ("pre_logits.fc1", "pre_logits.fc2")
    return vgg(network, hidden=hidden, classifier="head.fc", kernels=True)


def _mobilenet(network: MobileNet) -> Iterator[NamePair]:
    yield from conv_and_norm("stem", "conv_stem", "bn1")
    for stage, block, ours in blocks_of(network):
        theirs, place, pointwise = f"blocks.{stage}.{block}", 1, "conv_pw"
        if network.inverted:
            ours = f"{ours}/separable"
        if network.inverted and stage > 0:
            expand = ours.replace("separable", "expand")
            yield from conv_and_norm(expand, f"{theirs}.conv_pw", f"{theirs}.bn1")
            place, pointwise = 2, "conv_pwl"
        yield from conv_and_norm(f"{ours}/depthwise", f"{theirs}.conv_dw", f"{theirs}.bn{place}")
        norm = f"{theirs}.bn{place + 1}"
        yield from conv_and_norm(f"{ours}/pointwise", f"{theirs}.{pointwise}", norm)
    yield from conv_and_norm("last", "conv_head", "bn2")
    yield NamePair("head/classifier", "classifier")


def _convnext(network: ConvNeXt) -> Iterator[NamePair]:
    return convnext(
        network,
        stem=("stem.0", "stem.1"),
        block=lambda stage, block: f"stages.{stage}.blocks.{block}.",
        parts=("conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"),
        reduction=lambda stage: f"stages.{stage}.downsample.",
        head=("head.norm", "head.fc"),
    )


_TAGS = (
    "timm states resize and interpolation for each tag of a network; set are those of its default "
    "tag, so give --config.data.crop_ratio and --config.data.interpolation for another",
)


def _evaluated(name: str) -> dict[str, Any]:
    """Returns how timm evaluates the default tag of a network."""
    tagged = (
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "seresnet50"),
        *("resnetv2_50", "resnetv2_101", "resnext50_32x4d", "resnext101_64x4d"),
        *("convnext_tiny", "convnext_small"),
    )
    if name in tagged:
        return evaluated(235, interpolation="bicubic")
    if name in ("resnetv2_18", "resnetv2_34"):
        return evaluated(248, interpolation="bicubic")
    if name in ("resnet101d", "resnet152d"):
        return evaluated(269, 256, "bicubic")
    if name in ("resnext101_32x8d", "wide_resnet101_2") or name.startswith("vgg"):
        return evaluated(256, interpolation="bilinear")
    return evaluated(256, interpolation="bicubic")


def _networks() -> Iterator[tuple[str, str, NamePairs, dict[str, Any]]]:
    """Yields our name, timm's, the sites and the fields besides those of all."""
    averaged = partial(resnet, stem=_DEEP, shortcut=("downsample.1", "downsample.2"))
    for depth in (18, 34, 50, 101, 152):
        yield f"resnet{depth}", f"resnet{depth}", resnet, {}
        yield f"se_resnet{depth}", f"seresnet{depth}", resnet, {}
        yield f"preact_resnet{depth}", f"resnetv2_{depth}", _preactivated, _HALVES
        yield f"resnet{depth}d", f"resnet{depth}d", averaged, _AVERAGED
    for name in WIDE:
        yield name, name, resnet, {}
    for name in DENSE:
        yield name, name, densenet, {}
    for depth in (50, 101, 152):
        yield f"resnet{depth}c", f"resnet{depth}c", partial(resnet, stem=_DEEP), {}
    for depth in (11, 13, 16, 19):
        for suffix in ("", "_bn"):
            yield f"vgg{depth}{suffix}", f"vgg{depth}{suffix}", _vgg, VGG_HEAD
    yield "mobilenet_v1", "mobilenetv1_100", _mobilenet, _HALVES
    yield "mobilenet_v2", "mobilenetv2_100", _mobilenet, {}
    yield "convnext_t", "convnext_tiny", _convnext, GELU
    yield "convnext_s", "convnext_small", _convnext, GELU


LAYOUTS.add(
    "timm",
    Layout(
        about="PyTorch Image Models (timm)",
        dialect=TORCH,
        networks={
            ours: Counterpart(name, sites, _BASE | fields | _evaluated(name), _TAGS)
            for ours, name, sites, fields in _networks()
        },
        unused=("num_batches_tracked",),
        exports=True,
    ),
)
