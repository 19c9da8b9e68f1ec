"""Residual networks: one module for the CIFAR family, with each downsampling site a field."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from cnn.config.errors import UserError, did_you_mean
from cnn.layers import (
    ConvBlock,
    Downsample,
    DownsamplingConv,
    Head,
    Style,
    parse_operator,
    style_of,
)
from cnn.models.registry import MODELS, Network

SHORTCUTS = ("pad", "projection")


class Shortcut(nn.Module):
    """The way around a block: downsampled where the block is, widened where the block is.

    Attributes:
      features: of the output.
      strides: of the block.
      kind: "pad" widens with zero channels (option A of He et al., CVPR 2016), "projection" by a
        1x1 convolution with norm (option B), which takes the strides of `strided_conv`.
      operator: of the registry.
      style: of the network.
    """

    features: int
    strides: int
    kind: str
    operator: str
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool, phase: Array | None) -> Array:
        """Returns `[B, *spatial / strides, features]`."""
        on_conv = parse_operator(self.operator, "model.shortcut_downsample")[0] == "strided_conv"
        if self.strides > 1 and not on_conv:
            down = Downsample(self.operator, self.strides, self.style, name="downsample")
            x, _ = down(x, train, phase)
        wider = self.features - x.shape[-1]
        if self.kind == "pad":
            return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, wider)]) if wider else x
        if not wider and self.strides == 1:
            return x
        strides = self.strides if on_conv else 1
        return ConvBlock(
            self.features, 1, self.style, strides=strides, activate=False, name="projection"
        )(x, train)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., CVPR 2016).

    Attributes:
      features: of the output.
      strides: 2 where the resolution drops.
      downsample: operator on the main path, after the first convolution's activation.
      shortcut_downsample: operator on the shortcut.
      shortcut: see `Shortcut`.
      style: of the network.
    """

    features: int
    strides: int
    downsample: str
    shortcut_downsample: str
    shortcut: str
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / strides, features]`."""
        first = DownsamplingConv(
            self.features, 3, self.style, self.downsample, self.strides, name="conv1"
        )
        y, phase = first(x, train)
        y = ConvBlock(self.features, 3, self.style, activate=False, name="conv2")(y, train)
        around = Shortcut(
            self.features,
            self.strides,
            self.shortcut,
            self.shortcut_downsample,
            self.style,
            name="shortcut",
        )(x, train, phase)
        if around.shape != y.shape:
            raise UserError(
                f"model.shortcut_downsample: '{self.shortcut_downsample}' turns {x.shape[1:-1]} "
                f"into {around.shape[1:-1]}, but model.downsample '{self.downsample}' into "
                f"{y.shape[1:-1]}; choose two that agree"
            )
        return self.style.activate(y + around)


class ResNet(nn.Module):
    """A stem, stages of residual blocks, and a head.

    Attributes:
      features: width of each stage.
      depths: blocks of each stage; the first of every stage but the first reduces by 2.
      stem: "cifar": 3x3 convolution; "imagenet": 7x7 with strides 2.
      stem_downsample: operator behind the stem's convolution.
      downsample: operator on the main path.
      shortcut_downsample: operator on the shortcut.
      shortcut: see `Shortcut`.
      head: the classifier.
      style: of the network.
    """

    features: tuple[int, ...]
    depths: tuple[int, ...]
    stem: str
    stem_downsample: str
    downsample: str
    shortcut_downsample: str
    shortcut: str
    head: Head
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for images `[B, *spatial, C]`."""
        window, strides = {"cifar": (3, 1), "imagenet": (7, 2)}[self.stem]
        x = ConvBlock(self.features[0], window, self.style, strides=strides, name="stem")(x, train)
        x, _ = Downsample(self.stem_downsample, 2, self.style, name="stem_downsample")(x, train)
        for stage, (features, depth) in enumerate(zip(self.features, self.depths, strict=True), 1):
            for i in range(1, depth + 1):
                x = BasicBlock(
                    features,
                    2 if i == 1 < stage else 1,
                    self.downsample,
                    self.shortcut_downsample,
                    self.shortcut,
                    self.style,
                    name=f"stage{stage}_block{i}",
                )(x, train)
        return self.head(x, train)


def _build(model: ConfigDict, num_classes: int) -> ResNet:
    if model.shortcut not in SHORTCUTS:
        raise UserError(
            f"model.shortcut: unknown '{model.shortcut}': {did_you_mean(model.shortcut, SHORTCUTS)}"
        )
    operator, _ = parse_operator(model.shortcut_downsample, "model.shortcut_downsample")
    if operator == "strided_conv" and model.shortcut == "pad":
        raise UserError(
            "model.shortcut_downsample: 'strided_conv' needs a convolution on the shortcut; "
            "set model.shortcut=projection, or use 'subsample'"
        )
    style = style_of(model)
    return ResNet(
        features=tuple(model.features),
        depths=tuple(model.depths),
        stem=model.stem,
        stem_downsample=model.stem_downsample,
        downsample=model.downsample,
        shortcut_downsample=model.shortcut_downsample,
        shortcut=model.shortcut,
        head=Head(model.head, num_classes, style, model.dropout, name="head"),
        style=style,
    )


FIELDS = frozenset(
    {
        "features",
        "depths",
        "stem",
        "stem_downsample",
        "downsample",
        "shortcut_downsample",
        "shortcut",
    }
)


def _cifar(depth: int) -> Network:
    return Network(
        build=_build,
        about=f"He et al., CVPR 2016, section 4.2: 6n + 2 = {depth} layers; option A",
        published={
            "features": (16, 32, 64),
            "depths": ((depth - 2) // 6,) * 3,
            "stem": "cifar",
            "stem_downsample": "none",
            "downsample": "strided_conv",
            "shortcut_downsample": "subsample",
            "shortcut": "pad",
            "head": "avg",
        },
        reads=FIELDS,
    )


for _depth in (20, 32, 44, 56, 110):
    MODELS.add(f"resnet{_depth}", _cifar(_depth))
