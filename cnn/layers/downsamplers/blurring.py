"""Low-pass filters before subsampling: the variants of BlurPool, and adaptive blurring."""

import math
from typing import Annotated

from jax import Array

from cnn.config.fields import Interval
from cnn.layers.conv import Conv
from cnn.layers.downsample import (
    DOWNSAMPLERS,
    BeforeConv,
    Card,
    Downsample,
    FeatureCount,
    Operator,
    WindowSize,
    register,
)
from cnn.layers.work import Site, Work, blurred
from cnn.ops.adaptive import adaptive_blur
from cnn.ops.average import subsample
from cnn.ops.blur import blur
from cnn.ops.max_pool import max_pool
from cnn.ops.padding import FilledPads, Padding, per_axis

_ZHANG = "Zhang, ICML 2019"


def _borders(layer: Downsample | BeforeConv, dialect: str) -> Padding:
    """Returns the dialect; by default adobe, or circular borders in circular networks."""
    return dialect or ("CIRCULAR" if layer.style.padding == "CIRCULAR" else "adobe")


@register(
    "blur",
    Card(
        formula="y = subsample(x * b), b a binomial filter with taps taps per axis",
        reference=f"{_ZHANG}: BlurPool",
        site="after a stride-1 convolution and ReLU, replacing its stride; or replacing average "
        "pooling",
        oracle=("blur",),
        macs="taps**n per output and channel",
        pitfalls="implementations differ: dialects adobe (the paper's code, and the default "
        "except in circular networks, where borders are circular), timm, composer and ffcv; see "
        "cnn/ops/blur.py. With 2 taps it is 2x2 average pooling.",
    ),
    cost=blurred,
)
def _blur(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    taps: Annotated[int, Interval("[2, 7]")] = 4,
    dialect: str = "",
):
    return blur(x, layer.along(taps), layer.strides, _borders(layer, dialect))


def _add_names() -> None:
    """Registers blur under the paper's names for its sites."""
    for name, formula, published, site in (
        (
            "conv_blur",
            "y = blur(activation(norm(conv(x, stride 1))))",
            "ConvBlurPool",
            "after a stride-1 convolution and ReLU, replacing its stride",
        ),
        ("avg_blur", "y = blur(x)", "AvgBlurPool", "replacing average pooling"),
    ):
        card = Card(
            formula=formula,
            reference=f"{_ZHANG}: {published}",
            site=site,
            oracle=("blur",),
            macs="taps**n per output and channel",
            pitfalls="an alias of blur, so arms with both are an A/A comparison. Not to be "
            "confused with blur_conv, which blurs before the convolution.",
        )
        DOWNSAMPLERS.add(name, Operator(_blur, card, cost=blurred))


_add_names()


def _cost_of_max_blur(s: Site) -> Work:
    return Work(blurred(s).macs, s.window() * math.prod(s.before))


@register(
    "max_blur",
    Card(
        formula="y = blur(max(x, window, stride 1))",
        reference=f"{_ZHANG}: MaxBlurPool",
        site="replacing max pooling",
        oracle=("max_pool", "blur"),
        macs="window comparisons per input position, taps**n per output and channel",
        pitfalls="see blur. The maximum is computed at full resolution.",
    ),
    cost=_cost_of_max_blur,
)
def _max_blur(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    window: WindowSize = 2,
    taps: Annotated[int, Interval("[2, 7]")] = 4,
    dialect: str = "",
):
    x = max_pool(x, layer.along(window), 1, layer.style.padding)
    return blur(x, layer.along(taps), layer.strides, _borders(layer, dialect))


@register(
    "blur_conv",
    Card(
        formula="y = conv(x * b, strides), b a binomial filter with taps taps per axis",
        reference="ffcv-imagenet (2022), and Composer's BlurPool recipe",
        site="before the strided convolutions of ResNet",
        oracle=("blur", "conv"),
        macs="taps**n per input position and channel",
        pitfalls="blurs before the convolution and its nonlinearity, whereas Zhang blurs after "
        "both; it is equivalent to one larger strided convolution. ffcv pads with zeros, which "
        "darkens the borders.",
    ),
    cost=blurred,
    on_conv=True,
)
def _blur_conv(
    layer: BeforeConv,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    taps: Annotated[int, Interval("[2, 7]")] = 3,
    dialect: str = "ffcv",
):
    return blur(x, layer.along(taps), 1, _borders(layer, dialect))


@register(
    "ddac",
    Card(
        formula="y = sum_i softmax(l)_i x_i, with a filter l = norm(conv(x)) per position and "
        "group",
        reference="Zou et al., BMVC 2020",
        site="after a stride-1 convolution, replacing its stride; after a stride-1 max: max_ddac",
        oracle=("adaptive_blur", "conv", "subsample"),
        parameters="window**(2 n) C groups, plus the norm's",
        macs="window**(2 n) C groups per input position",
        pitfalls="costs a convolution at full resolution. One softmax per group, as in the paper; "
        "the authors' code takes a single softmax over the taps of all groups, so its filters do "
        "not sum to 1. If `groups` does not divide the channels, the next smaller divisor is "
        "used. Borders are reflected, as published, or circular in circular networks.",
    ),
    cost=lambda s: Work(macs=s.window() * math.prod(s.after)),
)
def _ddac(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    window: WindowSize = 3,
    groups: FeatureCount = 8,
):
    channels, size = x.shape[-1], per_axis(layer.along(window), x.ndim - 2, "window")
    groups = next(g for g in range(groups, 0, -1) if channels % g == 0)
    values = "wrap" if layer.style.padding == "CIRCULAR" else "reflect"
    pads = FilledPads(tuple(((k - 1) // 2, k // 2) for k in size), values)
    elements = math.prod(size)
    logits = Conv(groups * elements, size, layer.style, padding=pads, name="logits")(x)
    logits = layer.style.make_norm("norm")(logits, train)
    logits = subsample(logits, layer.strides)
    logits = logits.reshape(*logits.shape[:-1], groups, elements)
    return adaptive_blur(x, size, layer.strides, pads, logits=logits)


def _cost_of_max_ddac(s: Site) -> Work:
    filters = s.window() * math.prod(s.after)
    return Work(macs=filters, operations=s.window("pool") * math.prod(s.before))


@register(
    "max_ddac",
    Card(
        formula="y = ddac(max(x, pool, stride 1))",
        reference="Zou et al., BMVC 2020",
        site="replacing max pooling",
        oracle=("max_pool", "adaptive_blur", "conv", "subsample"),
        parameters="as ddac",
        macs="pool comparisons per input position, plus ddac",
        pitfalls="see ddac, which removes a nonlinearity when it replaces max pooling.",
    ),
    cost=_cost_of_max_ddac,
)
def _max_ddac(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    pool: WindowSize = 2,
    window: WindowSize = 3,
    groups: FeatureCount = 8,
):
    dense = max_pool(x, layer.along(pool), 1, layer.style.padding)
    return _ddac(layer, dense, train, phase, window=window, groups=groups)
