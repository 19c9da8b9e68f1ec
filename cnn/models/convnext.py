"""ConvNeXt."""

import flax.linen as nn
from jax import Array
from ml_collections import ConfigDict

from cnn.layers import (
    ConvNeXtBlock,
    ConvNeXtReduction,
    Downsample,
    Head,
    Style,
    linear_rates,
    operator_of,
)
from cnn.layers.conv import Conv
from cnn.layers.convnext import kernel_init
from cnn.layers.scanned import scanned
from cnn.models.registry import IMAGENET_SHAPE, MODELS, Network, check_scan, check_stages, style_of


class ConvNeXt(nn.Module):
    """A patch stem, stages of ConvNeXt blocks with reductions in between, and a normed head.

    Attributes:
      features: width of each stage.
      depths: blocks of each stage.
      stem: "cifar": 3x3; "imagenet": patches of 4x4 with strides 4.
      stem_downsample: operator after the stem.
      downsample: operator between stages.
      stochastic_depth: rate of the last block; published: 0.1 (T), 0.4 (S).
      head: the classifier, with a norm between pooling and linear layer.
      style: of the network.
      scan: whether the blocks of a stage are compiled once, in training.
      responses: V2's blocks.
    """

    features: tuple[int, ...]
    depths: tuple[int, ...]
    stem: str
    stem_downsample: str
    downsample: str
    stochastic_depth: float
    head: Head
    style: Style
    scan: bool = False
    responses: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for images `[B, *spatial, C]`."""
        style = self.style
        window, strides, padding = {"cifar": (3, 1, None), "imagenet": (4, 4, "VALID")}[self.stem]
        stem = Conv(
            self.features[0],
            window,
            style,
            strides=strides,
            use_bias=True,
            padding=padding,
            kernel_init=kernel_init,
            name="stem",
        )
        x = style.make_norm("stem_norm")(stem(x), train)
        x, _ = Downsample(self.stem_downsample, 2, style, name="stem_downsample")(x, train)
        rates = iter(linear_rates(self.stochastic_depth, sum(self.depths)))
        for stage, (features, depth) in enumerate(zip(self.features, self.depths, strict=True), 1):
            if stage > 1:
                name = f"stage{stage}_reduction"
                x = ConvNeXtReduction(features, self.downsample, style, name=name)(x, train)
                if operator_of(self.downsample).dilates:
                    style = style.dilated(2)
            names = [f"stage{stage}_block{i}" for i in range(1, depth + 1)]
            if self.scan and train and not self.is_initializing():
                block = ConvNeXtBlock(style, responses=self.responses, parent=None)
                x = scanned(self, block, names, x)
                continue
            for name in names:
                x = ConvNeXtBlock(style, next(rates), self.responses, name=name)(x, train)
        return self.head(x, train)


def _build(model: ConfigDict, num_classes: int) -> ConvNeXt:
    check_stages(model)
    check_scan(model)
    style = style_of(model)
    return ConvNeXt(
        features=tuple(model.features),
        depths=tuple(model.depths),
        stem=model.stem,
        stem_downsample=model.stem_downsample,
        downsample=model.downsample,
        stochastic_depth=model.stochastic_depth,
        head=Head(model.head, num_classes, style, model.dropout, norm=True, name="head"),
        style=style,
        scan=model.scan,
        responses=model.name.startswith("convnextv2"),
    )


_FIRST = "Liu et al., CVPR 2022; there model.norm_epsilon is 1e-6"
_SECOND = "Woo et al., CVPR 2023; there model.norm_epsilon is 1e-6"

for _name, _width, _depths, _about in (
    ("convnext_t", 96, (3, 3, 9, 3), _FIRST),
    ("convnext_s", 96, (3, 3, 27, 3), _FIRST),
    ("convnextv2_atto", 40, (2, 2, 6, 2), _SECOND),
    ("convnextv2_femto", 48, (2, 2, 6, 2), _SECOND),
    ("convnextv2_pico", 64, (2, 2, 6, 2), _SECOND),
    ("convnextv2_nano", 80, (2, 2, 8, 2), _SECOND),
    ("convnextv2_tiny", 96, (3, 3, 9, 3), _SECOND),
    ("convnextv2_base", 128, (3, 3, 27, 3), _SECOND),
):
    MODELS.add(
        _name,
        Network(
            build=_build,
            about=_about,
            published={
                "features": tuple(_width * 2**i for i in range(4)),
                "depths": _depths,
                "stem": "imagenet",
                "stem_downsample": "none",
                "downsample": "strided_conv",
                "head": "avg",
                "norm": "layer",
                "activation": "gelu",
            },
            reads=frozenset(
                {
                    "features",
                    "depths",
                    "stem",
                    "stem_downsample",
                    "downsample",
                    "stochastic_depth",
                    "scan",
                }
            ),
            stems=("cifar", "imagenet"),
            input_shape=IMAGENET_SHAPE,
        ),
    )
