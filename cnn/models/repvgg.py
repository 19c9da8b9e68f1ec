"""RepVGG, in its training form and fused to plain convolutions."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
from jax import Array
from ml_collections import ConfigDict

from cnn.layers import Head, Style, operator_of
from cnn.layers.repvgg import RepBlock, fused_block
from cnn.models.registry import IMAGENET_SHAPE, MODELS, Network, check_stages, style_of

_FUSED = "_fused"


class RepVGG(nn.Module):
    """A stem block, stages of blocks whose first reduces, and a head.

    Attributes:
      features: width of the stem and of each stage.
      depths: blocks of each stage.
      stem_strides: of the stem.
      downsample: operator of the first block of each stage.
      fused: see `RepBlock`.
      head: the classifier.
      style: of the network.
    """

    features: tuple[int, ...]
    depths: tuple[int, ...]
    stem_strides: int
    downsample: str
    fused: bool
    head: Head
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for images `[B, *spatial, C]`."""
        style, (first, *widths) = self.style, self.features
        shared = dict(strides=self.stem_strides, fused=self.fused, name="stem")
        x = RepBlock(first, style, **shared)(x, train)
        for stage, (width, depth) in enumerate(zip(widths, self.depths, strict=True), 1):
            for i in range(1, depth + 1):
                strides = 2 if i == 1 else 1
                block = RepBlock(
                    width,
                    style,
                    self.downsample,
                    strides,
                    self.fused,
                    name=f"stage{stage}_block{i}",
                )
                x = block(x, train)
                if strides == 2 and operator_of(self.downsample).dilates:
                    style = style.dilated(2)
        return self.head(x, train)


def fused(variables: Mapping[str, Any], epsilon: float) -> dict[str, Any]:
    """Returns the variables of NAME_fused that compute what those of a trained NAME do.

    Args:
      variables: {"params", "batch_stats"}.
      epsilon: of the norms, `model.norm_epsilon`.
    """
    params, stats = variables["params"], variables["batch_stats"]
    blocks = {
        name: fused_block(block, stats[name], epsilon) if "conv3" in block else block
        for name, block in params.items()
    }
    return {"params": blocks}


def _build(model: ConfigDict, num_classes: int) -> RepVGG:
    check_stages(model)
    style = style_of(model)
    return RepVGG(
        features=(min(64, model.features[0]), *model.features),
        depths=tuple(model.depths),
        stem_strides={"cifar": 1, "imagenet": 2}[model.stem],
        downsample=model.downsample,
        fused=model.name.endswith(_FUSED),
        head=Head(model.head, num_classes, style, model.dropout, name="head"),
        style=style,
    )


_SHAPES = {
    "a0": ((48, 96, 192, 1280), (2, 4, 14, 1)),
    "a1": ((64, 128, 256, 1280), (2, 4, 14, 1)),
    "a2": ((96, 192, 384, 1408), (2, 4, 14, 1)),
    "b0": ((64, 128, 256, 1280), (4, 6, 16, 1)),
    "b1": ((128, 256, 512, 2048), (4, 6, 16, 1)),
}

for _name, (_widths, _depths) in _SHAPES.items():
    for _suffix, _about in (("", "three branches"), (_FUSED, "one convolution of the branches")):
        MODELS.add(
            f"repvgg_{_name}{_suffix}",
            Network(
                build=_build,
                about=f"{_about}; Ding et al., CVPR 2021",
                published={
                    "features": _widths,
                    "depths": _depths,
                    "stem": "imagenet",
                    "downsample": "strided_conv",
                    "head": "avg",
                    "norm": "none" if _suffix else "batch",
                },
                reads=frozenset({"features", "depths", "stem", "downsample"}),
                stems=("cifar", "imagenet"),
                input_shape=IMAGENET_SHAPE,
            ),
        )
