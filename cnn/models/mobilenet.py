"""MobileNetV1 to V3, EfficientNet and EfficientNetV2: one module, rows of blocks."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import flax.linen as nn
from jax import Array
from ml_collections import ConfigDict

from cnn.layers import (
    ConvBlock,
    Head,
    InvertedForm,
    InvertedResidual,
    SeparableConvBlock,
    Style,
    linear_rates,
    operator_of,
)
from cnn.layers.separable import rounded
from cnn.models.registry import IMAGENET_SHAPE, MODELS, Network, check_stages, style_of


@dataclass(frozen=True)
class Stage:
    """Blocks of one width.

    Attributes:
      features: of their outputs.
      strides: of the first.
      forms: of each; None: a separable block without a shortcut (MobileNetV1).
    """

    features: int
    strides: int
    forms: tuple[InvertedForm | None, ...]


class MobileNet(nn.Module):
    """A 3x3 stem, stages of separable or inverted blocks, maybe a wide 1x1 block, and a head.

    Attributes:
      stem_features: width of the stem.
      stem_strides: of the stem.
      stages: in order.
      last: width of the 1x1 convolution after them; 0: none.
      downsample: operator where strides are 2, after the depthwise convolutions.
      stochastic_depth: rate of the last block.
      head: the classifier.
      style: of the network.
    """

    stem_features: int
    stem_strides: int
    stages: tuple[Stage, ...]
    last: int
    downsample: str
    stochastic_depth: float
    head: Head
    style: Style

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks of each stage."""
        return tuple(len(stage.forms) for stage in self.stages)

    @property
    def inverted(self) -> bool:
        """Whether its blocks are inverted residuals."""
        return self.stages[0].forms[0] is not None

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for images `[B, *spatial, C]`."""
        style = self.style
        stem = ConvBlock(self.stem_features, 3, style, strides=self.stem_strides, name="stem")
        x = stem(x, train)
        blocks = sum(len(stage.forms) for stage in self.stages)
        rates = iter(linear_rates(self.stochastic_depth, blocks))
        for number, stage in enumerate(self.stages, 1):
            for i, form in enumerate(stage.forms, 1):
                strides = stage.strides if i == 1 else 1
                shared = dict(
                    operator=self.downsample, strides=strides, name=f"stage{number}_block{i}"
                )
                rate = next(rates)
                if form is None:
                    block = SeparableConvBlock(stage.features, style, **shared)
                else:
                    block = InvertedResidual(stage.features, style, form, drop_rate=rate, **shared)
                x = block(x, train)
                if strides == 2 and operator_of(self.downsample).dilates:
                    style = style.dilated(2)
        if self.last:
            x = ConvBlock(self.last, 1, style, name="last")(x, train)
        return self.head(x, train)


@dataclass(frozen=True)
class _Builder:
    """Builds a network of the family from config.model.

    Attributes:
      stem: width of the stem.
      strides: of each stage.
      forms: of the blocks of each stage; the last one stands for all that follow.
      last: (config.model, widths of the stages) -> width of the last convolution.
      hidden: width of a layer before the classifier; 0: none.
    """

    stem: int
    strides: tuple[int, ...]
    forms: tuple[tuple[InvertedForm | None, ...], ...]
    last: Callable[[ConfigDict, list[int]], int]
    hidden: int = 0

    def __call__(self, model: ConfigDict, num_classes: int) -> MobileNet:
        check_stages(model, most=len(self.strides))
        style = style_of(model)
        widths = [rounded(w * model.width) for w in model.features]
        rows = zip(widths, self.strides, self.forms, model.depths, strict=False)
        stages = (
            Stage(width, strides, tuple(forms[min(i, len(forms) - 1)] for i in range(depth)))
            for width, strides, forms, depth in rows
        )
        hidden = rounded(self.hidden * model.width) if self.hidden else 0
        return MobileNet(
            stem_features=rounded(self.stem * model.width),
            stem_strides={"cifar": 1, "imagenet": 2}[model.stem],
            stages=tuple(stages),
            last=self.last(model, widths),
            downsample=model.downsample,
            stochastic_depth=model.stochastic_depth,
            head=Head(model.head, num_classes, style, model.dropout, hidden=hidden, name="head"),
            style=style,
        )


_READS = frozenset({"features", "depths", "width", "stem", "downsample"})


def _add(
    name: str,
    about: str,
    builder: _Builder,
    rows: tuple[tuple[int, int], ...],
    activation: str,
    *,
    size: int = IMAGENET_SHAPE[0],
    drops: bool = False,
) -> None:
    """Adds a network of (width, blocks) per stage; `drops`: it has stochastic depth."""
    published = {
        "stem": "imagenet",
        "downsample": "strided_conv",
        "head": "avg",
        "activation": activation,
        "features": tuple(width for width, _ in rows),
        "depths": tuple(depth for _, depth in rows),
    }
    network = Network(
        build=builder,
        about=about,
        published=published,
        reads=_READS | {"stochastic_depth"} if drops else _READS,
        stems=("cifar", "imagenet"),
        input_shape=(size, size, 3),
    )
    MODELS.add(name, network)


def _add_first() -> None:
    builder = _Builder(32, (1, 2, 2, 2, 2), ((None,),) * 5, lambda model, widths: 0)
    rows = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))
    _add("mobilenet_v1", "Howard et al. 2017; ReLU6 as in their code", builder, rows, "relu6")
    inverted = ((InvertedForm(1),), *((InvertedForm(),),) * 6)
    # V2 never narrows what the classifier sees.
    builder = _Builder(
        32,
        (1, 2, 2, 2, 1, 2, 1),
        inverted,
        lambda model, widths: rounded(1280 * max(1.0, model.width)),
    )
    rows = ((16, 1), (24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1))
    _add("mobilenet_v2", "Sandler et al., CVPR 2018", builder, rows, "relu6")


def _third(window: int, squeezed: bool, relu: bool, *middles: float) -> tuple[InvertedForm, ...]:
    """Returns the blocks of a row of MobileNetV3's tables, by their widths per input channel."""
    squeeze, activation = "middle" if squeezed else "", "relu" if relu else ""
    return tuple(InvertedForm(m, window, squeeze, activation=activation) for m in middles)


def _add_third() -> None:
    large = (
        _third(3, False, True, 1),
        _third(3, False, True, 4, 3),
        _third(5, True, True, 3, 3, 3),
        _third(3, False, False, 6, 2.5, 2.3, 2.3),
        _third(3, True, False, 6, 6),
        _third(5, True, False, 6, 6, 6),
    )
    small = (
        _third(3, True, True, 1),
        _third(3, False, True, 4.5, 88 / 24),
        _third(5, True, False, 4, 6, 6),
        _third(5, True, False, 3, 3),
        _third(5, True, False, 6, 6, 6),
    )
    about = "Howard et al., ICCV 2019, tables 1 and 2; there model.norm_epsilon is 1e-3"
    for size, strides, forms, rows, hidden in (
        (
            "large",
            (1, 2, 2, 2, 1, 2),
            large,
            ((16, 1), (24, 2), (40, 3), (80, 4), (112, 2), (160, 3)),
            1280,
        ),
        ("small", (2, 2, 2, 1, 2), small, ((16, 1), (24, 2), (40, 3), (48, 2), (96, 3)), 1024),
    ):
        builder = _Builder(16, strides, forms, lambda model, widths: 6 * widths[-1], hidden)
        _add(f"mobilenet_v3_{size}", about, builder, rows, "hard_swish")


def _add_efficient() -> None:
    windows = (3, 3, 5, 3, 5, 5, 3)
    forms = tuple((InvertedForm(6 if i else 1, w, "input"),) for i, w in enumerate(windows))
    base = ((16, 1), (24, 2), (40, 2), (80, 3), (112, 3), (192, 4), (320, 1))
    about = "Tan & Le, ICML 2019; there model.stochastic_depth is 0.2"
    scales = (
        (1.0, 1.0, 224),
        (1.0, 1.1, 240),
        (1.1, 1.2, 260),
        (1.2, 1.4, 300),
        (1.4, 1.8, 380),
        (1.6, 2.2, 456),
        (1.8, 2.6, 528),
        (2.0, 3.1, 600),
    )
    for number, (width, depth, size) in enumerate(scales):
        builder = _Builder(
            rounded(32 * width), (1, 2, 2, 2, 1, 2, 1), forms, lambda model, widths: 4 * widths[-1]
        )
        rows = tuple((rounded(w * width), math.ceil(d * depth)) for w, d in base)
        _add(f"efficientnet_b{number}", about, builder, rows, "silu", size=size, drops=True)
    fused = ((InvertedForm(1, fused=True),), *((InvertedForm(4, fused=True),),) * 2)
    squeezed = tuple((InvertedForm(e, 3, "input"),) for e in (4, 6, 6))
    builder = _Builder(24, (1, 2, 2, 2, 1, 2), fused + squeezed, lambda model, widths: 1280)
    rows = ((24, 2), (48, 4), (64, 4), (128, 6), (160, 9), (256, 15))
    about = "Tan & Le, ICML 2021; there model.norm_epsilon is 1e-3, model.stochastic_depth 0.2"
    _add("efficientnet_v2_s", about, builder, rows, "silu", size=384, drops=True)


_add_first()
_add_third()
_add_efficient()
