"""Thin linen modules over the operators: blocks, norms, and the registry of downsampling."""

from cnn.layers import downsamplers
from cnn.layers.conv import Conv, ConvBlock
from cnn.layers.downsample import DOWNSAMPLERS, Downsample, DownsamplingConv, parse_operator
from cnn.layers.heads import HEADS, Head
from cnn.layers.norms import NORMS
from cnn.layers.style import Style, style_of

__all__ = [
    "DOWNSAMPLERS",
    "HEADS",
    "NORMS",
    "Conv",
    "ConvBlock",
    "Downsample",
    "DownsamplingConv",
    "Head",
    "Style",
    "downsamplers",
    "parse_operator",
    "style_of",
]
