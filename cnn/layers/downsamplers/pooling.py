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
        site="after convolutions, replacing subsampling",
        oracle=("max_pool",),
        macs="window comparisons per output",
        pitfalls="XLA's built-in gradient is not deterministic on GPUs; ours is built from "
        "slices. The gradient of jnp.max splits ties; select-and-scatter and ours do not. With "
        "window 3 and stride 2 on even sizes, SAME and torch padding sample different positions.",
    ),
    cost=windowed(),
)
def _max(layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 2):
    return max_pool(x, layer.along(window), layer.strides, layer.style.padding)


@register(
    "avg",
    Card(
        formula="y = mean of the window's elements inside the input",
        reference="LeCun et al., NIPS 1990 (with a learned gain and bias)",
        site="after convolutions, as the only reduction",
        oracle=("avg_pool",),
        macs="window additions per output",
        pitfalls="by default flax and PyTorch include the padding in the average, TensorFlow and "
        "this operator do not; count_padding=True includes it. padding='SAME' also averages the "
        "partial window at the end of odd sizes, as the ResNet-D shortcuts in timm do.",
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
        formula="y = median of the window's elements inside the input",
        reference="Tukey 1971",
        site="no published network that we know of; a replacement for max",
        oracle=("median_pool",),
        macs="window**2 comparisons per output",
        pitfalls="for an even window, the mean of the two middle elements; other implementations "
        "take the lower one.",
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
        site="after convolutions, replacing average or max pooling",
        oracle=("lp_pool",),
        macs="window powers per output",
        pitfalls="a sum, as in PyTorch's LPPool, whereas gem is a mean: they differ by a factor "
        "of window ** (n / p). PyTorch's gradient is NaN in an all-zero window.",
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
        formula="y = sum x exp(x) / sum exp(x), per channel",
        reference="SoftPool, Stergiou et al., ICCV 2021",
        site="replacing pooling in ResNet, DenseNet, ResNeXt and Inception",
        oracle=("soft_pool",),
        macs="window exponentials per output",
        pitfalls="the authors' non-CUDA path sums exp over the channels and clamps negative "
        "values, which is a different operator that has been copied by others.",
    ),
    cost=windowed(2),
)
def _soft(layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 2):
    return soft_pool(x, layer.along(window), layer.strides, layer.style.padding)


@register(
    "subsample",
    Card(
        formula="y = every stride-th element",
        reference="the option A shortcut of He et al., CVPR 2016",
        site="on identity shortcuts where the resolution drops",
        oracle=("subsample",),
        pitfalls="aliases. Followed by a 1x1 convolution it is a strided 1x1 convolution, which "
        "sees a quarter of the input.",
    ),
    cost=nothing,
)
def _subsample(layer: Downsample, x: Array, train: bool, phase: Array | None):
    return subsample(x, layer.strides)


@register(
    "none",
    Card(
        formula="y = x",
        reference="the dense control: an upper bound on resolution and cost",
        site="a control: replacing any reduction",
        macs="all later layers run at strides**n times as many positions",
        pitfalls="the main path and the shortcut must both use it.",
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
        site="replacing the strides of the last stages",
        macs="all later layers run at strides**n times as many positions",
        pitfalls="keeps the receptive field of the strided network, unlike none. The shortcut "
        "must be none or dilated. Windows of pooling heads are not dilated.",
    ),
    cost=nothing,
    keeps_resolution=True,
    dilates=True,
)
def _dilated(layer: Downsample, x: Array, train: bool, phase: Array | None):
    return x
