"""Networks without shortcuts: the plain block network, LeNet, VGG and All-CNN, all one module."""

from collections.abc import Iterator
from dataclasses import dataclass

import flax.linen as nn
from jax import Array
from ml_collections import ConfigDict

from cnn.layers import ConvBlock, Downsample, DownsamplingConv, Head, Style, operator_of
from cnn.layers.separable import rounded
from cnn.models.registry import IMAGENET_SHAPE, MODELS, Network, check_stages, style_of


@dataclass(frozen=True)
class Block:
    """A convolution with norm and activation.

    Attributes:
      features: of its output.
      window: of the convolution.
      reduces: whether the resolution drops here.
      unpadded: VALID, but in a circular network.
      padded: keeps its size where model.padding is VALID.
      strides: of a convolution with an operator of its own after it, as stems have it.
    """

    features: int
    window: int = 3
    reduces: bool = False
    unpadded: bool = False
    padded: bool = False
    strides: int = 1


class Plain(nn.Module):
    """Convolution blocks in stages, each stage but the last ending in the downsampling.

    Attributes:
      blocks: in order.
      downsample: operator where the resolution drops.
      use_bias: of the convolutions; None: only where there is no norm.
      stage_dropout: rate after each reduction.
      input_dropout: rate of the pixels.
      head: the classifier.
      style: of the network.
      stem_downsample: operator after a block with strides.
    """

    blocks: tuple[Block, ...]
    downsample: str
    use_bias: bool | None
    stage_dropout: float
    input_dropout: float
    head: Head
    style: Style
    stem_downsample: str = ""

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for images `[B, *spatial, C]`."""
        x = nn.Dropout(self.input_dropout, deterministic=not train)(x)
        for name, block, style in self.named_blocks():
            padding = "VALID" if block.unpadded and style.padding != "CIRCULAR" else None
            padding = "SAME" if block.padded and style.padding == "VALID" else padding
            shared = dict(use_bias=self.use_bias, padding=padding, name=name)
            if not block.reduces:
                conv = ConvBlock(
                    block.features, block.window, style, strides=block.strides, **shared
                )
                x = conv(x, train)
                if block.strides > 1:
                    after = Downsample(self.stem_downsample, 2, style, name="stem_downsample")
                    x, _ = after(x, train)
                continue
            site = DownsamplingConv(block.features, block.window, style, self.downsample, **shared)
            x, _ = site(x, train)
            x = nn.Dropout(self.stage_dropout, deterministic=not train)(x)
        return self.head(x, train)

    def named_blocks(self) -> Iterator[tuple[str, Block, Style]]:
        """Yields (name, block, style) of each block, in order."""
        stage, number, style = 1, 1, self.style
        for block in self.blocks:
            yield f"stage{stage}_block{number}", block, style
            stage, number = (stage + 1, 1) if block.reduces else (stage, number + 1)
            if block.reduces and operator_of(self.downsample).dilates:
                style = style.dilated(2)


def _network(
    model: ConfigDict,
    num_classes: int,
    blocks: tuple[Block, ...],
    use_bias: bool | None = None,
    stage_dropout: float = 0.0,
) -> Plain:
    style = style_of(model)
    dropout = 0.0 if stage_dropout else model.dropout
    return Plain(
        blocks=blocks,
        downsample=model.downsample,
        use_bias=use_bias,
        stage_dropout=stage_dropout,
        input_dropout=model.input_dropout,
        head=Head(model.head, num_classes, style, dropout, name="head"),
        style=style,
        stem_downsample=model.stem_downsample,
    )


def _stages(model: ConfigDict) -> tuple[Block, ...]:
    with model.unlocked():
        model.depths = tuple(model.depths) or (1,) * len(model.features)
    check_stages(model)
    return tuple(
        Block(features, reduces=i == depth)
        for features, depth in zip(model.features, model.depths, strict=True)
        for i in range(1, depth + 1)
    )


def _build_plain(model: ConfigDict, num_classes: int) -> Plain:
    return _network(model, num_classes, _stages(model))


def _build_vgg(model: ConfigDict, num_classes: int) -> Plain:
    # The popular ports keep the biases before batch norm, though it cancels them.
    return _network(model, num_classes, _stages(model), use_bias=True)


def _build_lenet(model: ConfigDict, num_classes: int) -> Plain:
    blocks = (Block(6, 5, reduces=True), Block(16, 5, reduces=True, unpadded=True))
    return _network(model, num_classes, blocks)


def _build_alexnet(model: ConfigDict, num_classes: int) -> Plain:
    widths = [rounded(width * model.width) for width in (64, 192, 384, 256, 256)]
    first, second, *rest, last = widths
    # Small images keep their size.
    stem = Block(first, 11, strides=4) if model.stem == "imagenet" else Block(first)
    blocks = (
        stem,
        Block(second, 5, reduces=True, padded=True),
        *(Block(width, padded=True) for width in rest),
        Block(last, reduces=True, padded=True),
    )
    return _network(model, num_classes, blocks)


# Springenberg et al., table 1: blocks of the first two stages, as windows.
_ALL_CNN = {"a": (5,), "b": (5, 1), "c": (3, 3)}


def _build_all_cnn(model: ConfigDict, num_classes: int) -> Plain:
    windows = _ALL_CNN[model.name.split("_")[2]]
    stages = tuple(
        Block(features, window, reduces=i == len(windows))
        for features in (96, 192)
        for i, window in enumerate(windows, 1)
    )
    last = (Block(192, unpadded=True), Block(192, 1))
    return _network(model, num_classes, stages + last, stage_dropout=model.dropout)


def _add_stages() -> None:
    reads = frozenset({"features", "depths", "downsample"})
    plain = Network(
        build=_build_plain,
        about="conv 3x3, norm, ReLU, max 2x2 per stage; average pooling, linear layer",
        published={"features": (32, 64, 128), "downsample": "max", "head": "avg"},
        reads=reads,
    )
    MODELS.add("plain", plain)
    depths = {11: (1, 1, 2, 2, 2), 13: (2,) * 5, 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
    for depth, blocks in depths.items():
        for suffix, norm in (("", "none"), ("_bn", "batch")):
            published = {
                "features": (64, 128, 256, 512, 512),
                "depths": blocks,
                "downsample": "max",
                "head": "flatten(hidden=(4096, 4096))",
                "norm": norm,
            }
            about = "Simonyan & Zisserman, ICLR 2015; for small images set model.head=avg"
            network = Network(_build_vgg, about, published, reads, input_shape=IMAGENET_SHAPE)
            MODELS.add(f"vgg{depth}{suffix}", network)


def _add_fixed() -> None:
    lenet = {
        "downsample": "avg",
        "head": "flatten(hidden=(120, 84))",
        "norm": "none",
        "activation": "tanh",
    }
    about = "LeCun et al. 1998, in today's form: all channels connected, softmax; 28 pixels"
    reads, shape = frozenset({"downsample"}), (28, 28, 1)
    MODELS.add("lenet5", Network(_build_lenet, about, lenet, reads, input_shape=shape))
    alexnet = {
        "stem": "imagenet",
        "stem_downsample": {"cifar": "none", "imagenet": "max(window=3)"},
        "downsample": "max(window=3)",
        "head": {"cifar": "avg", "imagenet": "flatten(hidden=(4096, 4096), grid=6)"},
        "norm": "none",
    }
    reads = frozenset({"stem", "stem_downsample", "downsample", "width"})
    about = "Krizhevsky 2014, one tower; model.padding=VALID and 227 pixels have the paper's sizes"
    shape, stems = IMAGENET_SHAPE, ("cifar", "imagenet")
    MODELS.add("alexnet", Network(_build_alexnet, about, alexnet, reads, stems, shape))
    forms = {
        "_base": "max(window=3)",
        "_strided": "strided_conv",
        "_conv_pool": "conv_pool(window=3, pool=3)",
        "": "all_conv(window=3)",
    }
    for letter in _ALL_CNN:
        for suffix, operator in forms.items():
            about = "Springenberg et al., ICLR-W 2015; dropout (there 0.5) after each reduction"
            published = {"downsample": operator, "head": "avg", "norm": "none"}
            reads = frozenset({"downsample", "input_dropout"})
            network = Network(_build_all_cnn, about, published, reads)
            MODELS.add(f"all_cnn_{letter}{suffix}", network)


_add_stages()
_add_fixed()
