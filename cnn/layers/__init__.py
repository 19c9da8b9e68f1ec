"""Thin linen modules over `cnn.ops`: blocks, norms, heads, and the registry of downsamplers."""

from cnn.layers import downsamplers, norms
from cnn.layers.clips import ClipConv, ClipResidualBlock, ClipSite
from cnn.layers.conv import Conv, ConvBlock
from cnn.layers.convnext import ConvNeXtBlock, ConvNeXtReduction
from cnn.layers.downsample import (
    DOWNSAMPLERS,
    BeforeConv,
    Card,
    Downsample,
    DownsamplingConv,
    Operator,
    before_conv,
    operator_of,
)
from cnn.layers.heads import HEADS, Head
from cnn.layers.residual import BlockForm, ResidualBlock, Shortcut, Sites
from cnn.layers.separable import InvertedForm, InvertedResidual, SeparableConvBlock
from cnn.layers.squeeze_excite import SqueezeExcite
from cnn.layers.stochastic_depth import StochasticDepth, linear_rates
from cnn.layers.style import ACTIVATIONS, NORMS, STYLE_FIELDS, Style

__all__ = [
    "ACTIVATIONS",
    "DOWNSAMPLERS",
    "HEADS",
    "NORMS",
    "STYLE_FIELDS",
    "BeforeConv",
    "BlockForm",
    "Card",
    "ClipConv",
    "ClipResidualBlock",
    "ClipSite",
    "Conv",
    "ConvBlock",
    "ConvNeXtBlock",
    "ConvNeXtReduction",
    "Downsample",
    "DownsamplingConv",
    "Head",
    "InvertedForm",
    "InvertedResidual",
    "Operator",
    "ResidualBlock",
    "SeparableConvBlock",
    "Shortcut",
    "Sites",
    "SqueezeExcite",
    "StochasticDepth",
    "Style",
    "before_conv",
    "downsamplers",
    "linear_rates",
    "norms",
    "operator_of",
]
