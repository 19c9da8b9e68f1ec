"""torchvision.models, github.com/pytorch/vision."""

from collections.abc import Iterator
from dataclasses import replace

from cnn.foreign.layouts.families import blocks_of, conv_and_norm, convnext, densenet, resnet, vgg
from cnn.foreign.layouts.layout import (
    IMAGENET,
    LAYOUTS,
    TORCH,
    TORCH_MODEL,
    Counterpart,
    Layout,
    NamePair,
    evaluated,
)
from cnn.foreign.tensor_form import Shape, TensorForm, same
from cnn.models.convnext import ConvNeXt
from cnn.models.mobilenet import MobileNet
from cnn.models.plain import Plain

GELU = {"model.norm_epsilon": 1e-6, "model.activation": "gelu_exact"}
VGG_HEAD = {"model.head": "flatten(hidden=(4096, 4096), grid=7)"}


def _vgg(network: Plain) -> Iterator[NamePair]:
    return vgg(network, hidden=("classifier.0", "classifier.3"), classifier="classifier.6")


def _mobilenet_v2(network: MobileNet) -> Iterator[NamePair]:
    yield from conv_and_norm("stem", "features.0.0", "features.0.1")
    number = 0
    for number, (stage, _, ours) in enumerate(blocks_of(network), 1):
        theirs, place = f"features.{number}.conv", 0
        if stage > 0:
            yield from conv_and_norm(f"{ours}/expand", f"{theirs}.0.0", f"{theirs}.0.1")
            place = 1
        depthwise, pointwise = (f"{ours}/separable/{name}" for name in ("depthwise", "pointwise"))
        yield from conv_and_norm(depthwise, f"{theirs}.{place}.0", f"{theirs}.{place}.1")
        yield from conv_and_norm(pointwise, f"{theirs}.{place + 1}", f"{theirs}.{place + 2}")
    yield from conv_and_norm("last", f"features.{number + 1}.0", f"features.{number + 1}.1")
    yield NamePair("head/classifier", "classifier.1")


def _channels_first(shape: Shape) -> TensorForm:
    return replace(same(shape), theirs=(*shape, 1, 1))


def _convnext(network: ConvNeXt) -> Iterator[NamePair]:
    # Stages and reductions alternate in one list.
    return convnext(
        network,
        stem=("features.0.0", "features.0.1"),
        block=lambda stage, block: f"features.{2 * stage + 1}.{block}.",
        parts=("block.0", "block.2", "block.3", "block.5", "layer_scale"),
        reduction=lambda stage: f"features.{2 * stage}.",
        head=("classifier.0", "classifier.2"),
        scale_form=_channels_first,
    )


# One name everywhere.
WIDE = (
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *("wide_resnet50_2", "wide_resnet101_2"),
)
DENSE = tuple(f"densenet{depth}" for depth in (121, 161, 169, 201))
_BASE = TORCH_MODEL | IMAGENET
# Fields are those of IMAGENET1K_V1.
_V2 = (
    "weights of torchvision called V2 were made for images resized to 232: "
    f"--config.data.crop_ratio={224 / 232}",
)
_NETWORKS = {
    **{f"resnet{n}": Counterpart(f"resnet{n}", resnet, _BASE) for n in (18, 34)},
    **{f"resnet{n}": Counterpart(f"resnet{n}", resnet, _BASE, _V2) for n in (50, 101, 152)},
    **{name: Counterpart(name, resnet, _BASE, _V2) for name in WIDE},
    "resnext101_64x4d": Counterpart("resnext101_64x4d", resnet, _BASE | evaluated(232)),
    **{name: Counterpart(name, densenet, _BASE) for name in DENSE},
    **{
        f"vgg{n}{suffix}": Counterpart(f"vgg{n}{suffix}", _vgg, _BASE | VGG_HEAD)
        for n in (11, 13, 16, 19)
        for suffix in ("", "_bn")
    },
    "mobilenet_v2": Counterpart("mobilenet_v2", _mobilenet_v2, _BASE, _V2),
    "convnext_t": Counterpart("convnext_tiny", _convnext, _BASE | GELU | evaluated(236)),
    "convnext_s": Counterpart("convnext_small", _convnext, _BASE | GELU | evaluated(230)),
}

LAYOUTS.add(
    "torchvision",
    Layout(
        about="torchvision.models",
        dialect=TORCH,
        networks=_NETWORKS,
        unused=("num_batches_tracked",),
        exports=True,
        # As the files of DenseNet that torchvision still publishes name them.
        renames=((r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),),
    ),
)
