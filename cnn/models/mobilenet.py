"""MobileNetV1 and V2."""

import flax.linen as nn
from jax import Array
from ml_collections import ConfigDict

from cnn.layers import (
    ConvBlock,
    Head,
    InvertedResidual,
    SeparableConvBlock,
    Style,
    operator_of,
)
from cnn.models.registry import IMAGENET_SHAPE, MODELS, Network, check_stages, style_of


class MobileNet(nn.Module):
    """A 3x3 stem, stages of separable or inverted blocks, maybe a wide 1x1 block, and a head.

    Attributes:
      features: width of the stem, each stage and the last 1x1 convolution (0: none).
      depths: blocks of each stage.
      strides: of the first block of each stage.
      inverted: blocks of V2.
      stem_strides: of the stem.
      downsample: operator where strides are 2, after the depthwise convolutions.
      head: the classifier.
      style: of the network.
    """

    features: tuple[int, ...]
    depths: tuple[int, ...]
    strides: tuple[int, ...]
    inverted: bool
    stem_strides: int
    downsample: str
    head: Head
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for images `[B, *spatial, C]`."""
        style, (first, *stages, last) = self.style, self.features
        x = ConvBlock(first, 3, style, strides=self.stem_strides, name="stem")(x, train)
        plan = enumerate(zip(stages, self.depths, self.strides, strict=True), 1)
        for stage, (features, depth, strides) in plan:
            for i in range(1, depth + 1):
                shared = dict(
                    operator=self.downsample,
                    strides=strides if i == 1 else 1,
                    name=f"stage{stage}_block{i}",
                )
                if self.inverted:
                    expansion = 1 if stage == 1 else 6
                    block = InvertedResidual(features, style, expansion, **shared)
                else:
                    block = SeparableConvBlock(features, style, **shared)
                x = block(x, train)
                if shared["strides"] == 2 and operator_of(self.downsample).dilates:
                    style = style.dilated(2)
        if last:
            x = ConvBlock(last, 1, style, name="last")(x, train)
        return self.head(x, train)


def rounded(width: float, divisor: int = 8) -> int:
    """Returns the nearest multiple of 8 that is not below 90 % of the width, as both papers do."""
    nearest = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * width else nearest


def _build(model: ConfigDict, num_classes: int, strides: tuple[int, ...], last: int) -> MobileNet:
    check_stages(model, most=len(strides))
    style = style_of(model)
    widths = [32, *model.features]
    # V2 never narrows what the classifier sees.
    last = rounded(last * max(1.0, model.width))
    return MobileNet(
        features=(*(rounded(w * model.width) for w in widths), last if last > 8 else 0),
        depths=tuple(model.depths),
        strides=strides[: len(model.depths)],
        inverted=model.name == "mobilenet_v2",
        stem_strides={"cifar": 1, "imagenet": 2}[model.stem],
        downsample=model.downsample,
        head=Head(model.head, num_classes, style, model.dropout, name="head"),
        style=style,
    )


def _build_v1(model: ConfigDict, num_classes: int) -> MobileNet:
    return _build(model, num_classes, strides=(1, 2, 2, 2, 2), last=0)


def _build_v2(model: ConfigDict, num_classes: int) -> MobileNet:
    return _build(model, num_classes, strides=(1, 2, 2, 2, 1, 2, 1), last=1280)


_SHARED = {"stem": "imagenet", "downsample": "strided_conv", "head": "avg", "activation": "relu6"}

MODELS.add(
    "mobilenet_v1",
    Network(
        build=_build_v1,
        about="Howard et al. 2017; ReLU6 as in their code",
        published=_SHARED | {"features": (64, 128, 256, 512, 1024), "depths": (1, 2, 2, 6, 2)},
        reads=frozenset({"features", "depths", "width", "stem", "downsample"}),
        stems=("cifar", "imagenet"),
        input_shape=IMAGENET_SHAPE,
    ),
)
MODELS.add(
    "mobilenet_v2",
    Network(
        build=_build_v2,
        about="Sandler et al., CVPR 2018",
        published=_SHARED
        | {"features": (16, 24, 32, 64, 96, 160, 320), "depths": (1, 2, 3, 4, 3, 3, 1)},
        reads=frozenset({"features", "depths", "width", "stem", "downsample"}),
        stems=("cifar", "imagenet"),
        input_shape=IMAGENET_SHAPE,
    ),
)
