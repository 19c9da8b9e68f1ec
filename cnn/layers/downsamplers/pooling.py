"""Pooling without parameters, subsampling, and the controls that keep the resolution."""

import math
from typing import Literal

from jax import Array

from cnn.layers.downsample import Card, Downsample, WindowSize, register
from cnn.layers.work import Work, nothing, windowed
from cnn.ops.average import avg_pool, subsample
from cnn.ops.max_pool import max_pool
from cnn.ops.median import median_pool
from cnn.ops.weighted import lp_pool, soft_pool


@register(
    "max",
    Card(
        formula="y = max of the window",
        reference="Riesenhuber & Poggio, Nature Neuroscience 1999; Scherer et al., ICANN 2010",
        site="after convolutions, in place of subsampling",
        oracle=("max_pool",),
        macs="window comparisons per output",
        pitfalls="XLA's own gradient has no deterministic form on a GPU; ours is made of slices. "
        "Gradients of jnp.max split ties, select-and-scatter (and ours) do not. SAME and torch "
        "padding sample other positions for window 3, strides 2 on even sizes.",
    ),
    cost=windowed(),
)
def _max(layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 2):
    return max_pool(x, layer.along(window), layer.strides, layer.style.padding)


@register(
    "avg",
    Card(
        formula="y = mean of the window, of the elements inside the input",
        reference="LeCun et al., NIPS 1990 (there with a learned gain and bias)",
        site="after convolutions, as the only reduction",
        oracle=("avg_pool",),
        macs="window additions per output",
        pitfalls="flax and PyTorch count the padding unless told otherwise, TensorFlow and this "
        "operator do not; count_padding=True does. padding='SAME' averages the part of a "
        "window at the end of odd sizes too, as the shortcuts of timm's ResNet-D do.",
    ),
    cost=windowed(),
)
def _avg(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    window: WindowSize = 2,
    count_padding: bool = False,
    padding: Literal["", "SAME", "torch", "VALID", "CIRCULAR", "REFLECT"] = "",
):
    padding = padding or layer.style.padding
    return avg_pool(x, layer.along(window), layer.strides, padding, count_padding=count_padding)


@register(
    "median",
    Card(
        formula="y = median of the window, of the elements inside the input",
        reference="Tukey 1971",
        site="none in a network that we know of: stands in place of max",
        oracle=("median_pool",),
        macs="window**2 comparisons per output",
        pitfalls="the mean of the middle two for an even window; others take the lower one.",
    ),
    cost=lambda s: Work(operations=s.window() ** 2 * math.prod(s.after)),
)
def _median(
    layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 3
):
    return median_pool(x, layer.along(window), layer.strides, layer.style.padding)


@register(
    "lp",
    Card(
        formula="y = (sum |x|**p) ** (1 / p)",
        reference="Sermanet et al., ICPR 2012",
        site="after convolutions, in place of average or max pooling",
        oracle=("lp_pool",),
        macs="window powers per output",
        pitfalls="sums, as PyTorch's LPPool, where gem averages: they differ by "
        "window ** (n / p). PyTorch's gradient in a window of zeros is NaN.",
    ),
    cost=windowed(),
)
def _lp(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    window: WindowSize = 2,
    p: float = 2.0,
):
    return lp_pool(x, layer.along(window), layer.strides, layer.style.padding, p=p)


@register(
    "soft",
    Card(
        formula="y = sum x exp(x) / sum exp(x), each channel alone",
        reference="SoftPool, Stergiou et al., ICCV 2021",
        site="in place of the pooling of ResNet, DenseNet, ResNeXt and Inception",
        oracle=("soft_pool",),
        macs="window exponentials per output",
        pitfalls="the published path without CUDA sums exp over the channels and clamps below "
        "zero, which is another operator and was copied on.",
    ),
    cost=windowed(2),
)
def _soft(layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 2):
    return soft_pool(x, layer.along(window), layer.strides, layer.style.padding)


@register(
    "subsample",
    Card(
        formula="y = every stride-th element",
        reference="the shortcut of option A in He et al., CVPR 2016",
        site="on identity shortcuts where the resolution drops",
        oracle=("subsample",),
        pitfalls="aliases. A 1x1 convolution after it is a strided 1x1 convolution: it sees a "
        "quarter of the input.",
    ),
    cost=nothing,
)
def _subsample(layer: Downsample, x: Array, train: bool, phase: Array | None):
    return subsample(x, layer.strides)


@register(
    "none",
    Card(
        formula="y = x",
        reference="the dense control: an upper bound of resolution and of cost",
        site="a control: in place of any reduction",
        macs="everything after it works at strides**n times the positions",
        pitfalls="main path and shortcut have to agree on it.",
    ),
    cost=nothing,
    keeps_resolution=True,
)
def _none(layer: Downsample, x: Array, train: bool, phase: Array | None):
    return x


@register(
    "dilated",
    Card(
        formula="y = x, and every later convolution is dilated by the stride",
        reference="Yu & Koltun, ICLR 2016; dilated residual networks, Yu et al., CVPR 2017",
        site="in place of the strides of the last stages",
        macs="everything after it works at strides**n times the positions",
        pitfalls="keeps the receptive field of the strided network, which none does not. The "
        "shortcut needs none or dilated. Windows of pooling heads are not dilated.",
    ),
    cost=nothing,
    keeps_resolution=True,
    dilates=True,
)
def _dilated(layer: Downsample, x: Array, train: bool, phase: Array | None):
    return x
