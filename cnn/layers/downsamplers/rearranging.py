"""Polyphase components: selected (APS), weighted (LPS) or stacked (space to depth)."""

import math
from dataclasses import replace
from typing import Annotated, Literal

import jax
from jax import Array

from cnn.config.fields import Interval
from cnn.layers.conv import Conv
from cnn.layers.downsample import Card, Downsample, WindowSize, register
from cnn.layers.style import NORMS
from cnn.layers.work import Site, Work, nothing
from cnn.ops.blur import blur
from cnn.ops.max_pool import max_pool
from cnn.ops.polyphase import (
    phase_weights,
    select_phase,
    space_to_depth,
    split_phases,
    take_phase,
)


def _blurred(layer: Downsample, x: Array, taps: int) -> Array:
    if taps == 0:
        return x
    return blur(
        x, layer.along(taps), 1, "CIRCULAR" if layer.style.padding == "CIRCULAR" else "adobe"
    )


def _cost_of_phase(s: Site) -> Work:
    filtered = s.window("taps") * math.prod(s.before) if s.options["taps"] else 0
    return Work(filtered, math.prod(s.before))


@register(
    "aps",
    Card(
        formula="y = phase_i of blur(x), i = argmax of the phases' norms",
        reference="adaptive polyphase sampling, Chaman & Dokmanic, CVPR 2021",
        site="after a stride-1 convolution, replacing its stride; after a stride-1 max: max_aps",
        oracle=("select_phase", "take_phase", "blur"),
        macs="one per input position and channel; taps**n more with a blur",
        pitfalls="shift-invariant only with circular padding everywhere, even sizes at every "
        "stage, a global head, and aps on the shortcut too (which then uses the same index).",
    ),
    cost=_cost_of_phase,
    shares_phase=True,
)
def _aps(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    norm: Literal["l2", "l1", "linf"] = "l2",
    taps: Annotated[int, Interval("[0, 7]")] = 0,
):
    padding = layer.style.padding
    if phase is None:
        _, phase = select_phase(x, layer.strides, padding, norm=norm)
    return take_phase(_blurred(layer, x, taps), phase, layer.strides, padding), phase


@register(
    "lps",
    Card(
        formula="y = sum of phases weighted by gumbel-softmax(l); evaluation: the phase of "
        "largest l; l = mean conv3x3(relu(conv3x3(phase)))",
        reference="learnable polyphase sampling, Rojas-Gomez et al., NeurIPS 2022",
        site="after a stride-1 convolution, replacing its stride; after a stride-1 max: max_lps",
        oracle=("split_phases", "phase_weights", "take_phase", "conv"),
        parameters="18 C**2 + C in 2-D",
        macs="18 C**2 per input position in 2-D",
        pitfalls="trains on soft mixtures but evaluates a hard choice; the authors anneal the "
        "temperature, which is fixed here. The conditions of aps apply.",
    ),
    cost=_cost_of_phase,
    shares_phase=True,
    stochastic=True,
)
def _lps(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    temperature: float = 1.0,
    taps: Annotated[int, Interval("[0, 7]")] = 0,
):
    padding = layer.style.padding
    if phase is None:
        phases = split_phases(x, layer.strides, padding)
        y = phases.reshape(-1, *phases.shape[2:])
        shared = dict(window=layer.along(3), style=layer.style, padding="CIRCULAR")
        # A bias of the second convolution would add the same to all logits, without effect.
        y = jax.nn.relu(Conv(x.shape[-1], use_bias=True, name="logits1", **shared)(y))
        y = Conv(x.shape[-1], name="logits2", **shared)(y)
        logits = y.reshape(*phases.shape[:2], -1).mean(-1, dtype="float32").T
        phase = phase_weights(logits, layer.key(train), temperature)
    return take_phase(_blurred(layer, x, taps), phase, layer.strides, padding), phase


def _cost_of_max_phase(s: Site) -> Work:
    after_max = _cost_of_phase(s)
    return replace(after_max, operations=after_max.operations + s.window() * math.prod(s.before))


def _dense_max(layer: Downsample, x: Array, window: int) -> Array:
    return max_pool(x, layer.along(window), 1, layer.style.padding)


@register(
    "max_aps",
    Card(
        formula="y = phase_i of blur(z), z = max(x, window, stride 1), i = argmax of the phases' "
        "norms",
        reference="adaptive polyphase sampling, Chaman & Dokmanic, CVPR 2021",
        site="replacing max pooling, such as the one after the ResNet stem",
        oracle=("max_pool", "select_phase", "take_phase", "blur"),
        macs="window comparisons per input position, plus aps",
        pitfalls="plain aps in place of max pooling would also remove a nonlinearity. The "
        "conditions of aps apply.",
    ),
    cost=_cost_of_max_phase,
    shares_phase=True,
)
def _max_aps(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    window: WindowSize = 2,
    norm: Literal["l2", "l1", "linf"] = "l2",
    taps: Annotated[int, Interval("[0, 7]")] = 0,
):
    return _aps(layer, _dense_max(layer, x, window), train, phase, norm=norm, taps=taps)


@register(
    "max_lps",
    Card(
        formula="y = lps(max(x, window, stride 1))",
        reference="learnable polyphase sampling, Rojas-Gomez et al., NeurIPS 2022",
        site="replacing max pooling, such as the one after the ResNet stem",
        oracle=("max_pool", "split_phases", "phase_weights", "take_phase", "conv"),
        parameters="18 C**2 + C in 2-D",
        macs="window comparisons per input position, plus lps",
        pitfalls="plain lps in place of max pooling would also remove a nonlinearity. The "
        "conditions of aps apply.",
    ),
    cost=_cost_of_max_phase,
    shares_phase=True,
    stochastic=True,
)
def _max_lps(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    window: WindowSize = 2,
    temperature: float = 1.0,
    taps: Annotated[int, Interval("[0, 7]")] = 0,
):
    dense = _dense_max(layer, x, window)
    return _lps(layer, dense, train, phase, temperature=temperature, taps=taps)


@register(
    "space_to_depth",
    Card(
        formula="y = conv(all phases stacked, window), equal channels",
        reference="SPD-Conv, Sunkara & Luo, ECML-PKDD 2022; pixel-unshuffle, TResNet, WACV 2021",
        site="after a stride-1 convolution, replacing its stride or pooling",
        oracle=("space_to_depth", "conv"),
        parameters="(strides window)**n C**2",
        macs="(strides window)**n C**2 per output",
        pitfalls="with window 1 it is exactly a 2x2 convolution with stride 2, with window k one "
        "of size 2k: compare arms at equal compute.",
    ),
    cost=nothing,
)
def _space_to_depth(
    layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 1
):
    y = space_to_depth(x, layer.strides, layer.style.padding)
    return Conv(x.shape[-1], layer.along(window), layer.style, name="conv")(y)


@register(
    "patch_merging",
    Card(
        formula="y = conv1x1(layer_norm(all phases stacked)), equal channels",
        reference="Swin, Liu et al., ICCV 2021 (whose projection doubles the channels)",
        site="between the stages of a transformer",
        oracle=("space_to_depth", "conv"),
        parameters="strides**n (C**2 + 2 C)",
        macs="strides**n C**2 per output",
        pitfalls="the norm is over the stacked channels of each position.",
    ),
    cost=nothing,
)
def _patch_merging(layer: Downsample, x: Array, train: bool, phase: Array | None):
    y = space_to_depth(x, layer.strides, layer.style.padding)
    y = NORMS["layer"](layer.style, name="norm")(y, train)
    return Conv(x.shape[-1], 1, layer.style, name="conv")(y)
