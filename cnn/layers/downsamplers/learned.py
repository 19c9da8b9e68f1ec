"""Pooling with a few learned parameters: GeM, LIP, mixed, gated and tree."""

import math
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cnn.config.fields import Interval
from cnn.layers.conv import Conv
from cnn.layers.downsample import Card, Downsample, WindowSize, register
from cnn.layers.style import NORMS
from cnn.layers.work import Site, Work, windowed
from cnn.ops.mixed import gated_pool, mixed_pool, tree_pool
from cnn.ops.padding import per_axis
from cnn.ops.weighted import check_power, gem_pool, lip


@register(
    "gem",
    Card(
        formula="y = (mean max(x, 1e-6)**p) ** (1 / p), p learned",
        reference="Radenovic et al., TPAMI 2018",
        site="as the head of retrieval networks, replacing global max pooling; as a local "
        "reduction only here",
        oracle=("gem_pool",),
        parameters="1",
        macs="window powers per output",
        pitfalls="negative elements contribute neither value nor gradient: use it after a ReLU. "
        "Other implementations overflow in half precision.",
    ),
    cost=windowed(),
)
def _gem(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    window: WindowSize = 2,
    p: float = 3.0,
):
    check_power(p, "gem")
    power = layer.param("p", nn.initializers.constant(p), (), jnp.float32)
    return gem_pool(x, layer.along(window), layer.strides, layer.style.padding, p=power)


@register(
    "lip",
    Card(
        formula="y = sum x exp(l) / sum exp(l), l = 12 sigmoid(instance_norm(conv3x3(x)))",
        reference="Gao et al., ICCV 2019: the simplified variant; bottleneck=128 in ResNet blocks",
        site="replacing max pooling and strides in ResNet and DenseNet",
        oracle=("lip", "conv"),
        parameters="9 C**2 + 2 C in 2-D; bottleneck r: 2 r C + 9 r**2 + 4 r + 2 C",
        macs="9 C**2 per input position in 2-D; bottleneck r: 2 r C + 9 r**2",
        pitfalls="costs as much as a convolution at full resolution, so compare at equal compute. "
        "The last convolution is initialised to zero, so the operator starts as average pooling. "
        "The bottleneck (conv1x1, conv3x3, conv1x1) reads the operator's input here, and the "
        "block's input as published.",
    ),
    cost=windowed(2),
)
def _lip(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    window: WindowSize = 3,
    bottleneck: Annotated[int, Interval("[0, 65536]")] = 0,
):
    y = x
    for i, size in ((1, 1), (2, 3)) if bottleneck else ():
        y = Conv(bottleneck, layer.along(size), layer.style, name=f"logits{i}")(y)
        y = jax.nn.relu(NORMS["instance"](layer.style, name=f"norm{i}")(y, train))
    size, zeros = 1 if bottleneck else 3, nn.initializers.zeros
    logits = Conv(x.shape[-1], layer.along(size), layer.style, kernel_init=zeros, name="logits")(y)
    logits = NORMS["instance"](layer.style, name="norm")(logits, train)
    logits = 12 * jax.nn.sigmoid(logits)
    return lip(x, logits, layer.along(window), layer.strides, layer.style.padding)


_LEE = "Lee, Gallagher & Tu, AISTATS 2016"


@register(
    "mixed",
    Card(
        formula="y = a max + (1 - a) avg, a learned, initialised to 1/2",
        reference=_LEE,
        site="replacing max pooling",
        oracle=("mixed_pool",),
        parameters="1",
        macs="2 window operations per output",
        pitfalls="Yu et al. (RSKT 2014) use the name mixed pooling for a random choice between "
        "the two.",
    ),
    cost=windowed(2),
)
def _mixed(
    layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 3
):
    share = layer.param("share", nn.initializers.constant(0.5), (), jnp.float32)
    return mixed_pool(x, layer.along(window), layer.strides, layer.style.padding, share=share)


def _cost_of_gated(s: Site) -> Work:
    window = s.window() * math.prod(s.after)
    return Work(macs=window, operations=2 * window)


def _cost_of_tree(s: Site) -> Work:
    filters = 2 ** (s.options["levels"] + 1) - 1
    return Work(macs=filters * s.window() * math.prod(s.after))


@register(
    "gated",
    Card(
        formula="y = a max + (1 - a) avg, a = sigmoid(sum w x) per window, w initialised to 0",
        reference=_LEE,
        site="replacing max pooling",
        oracle=("gated_pool",),
        parameters="window**n",
        macs="3 window operations per output",
        pitfalls="one filter shared by all channels, as published; gates made of full "
        "convolutions mix channels and have C**2 times the parameters.",
    ),
    cost=_cost_of_gated,
)
def _gated(
    layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 3
):
    shape = per_axis(layer.along(window), x.ndim - 2, "window")
    gate = layer.param("gate", nn.initializers.zeros, shape, jnp.float32)
    return gated_pool(x, gate, layer.strides, layer.style.padding)


@register(
    "tree",
    Card(
        formula="leaves sum v x; nodes a left + (1 - a) right, a = sigmoid(sum w x)",
        reference=_LEE,
        site="replacing max pooling",
        oracle=("tree_pool",),
        parameters="(2**(levels + 1) - 1) window**n; 27 for the paper's tree",
        macs="(2**(levels + 1) - 1) window per output",
        pitfalls="linear except for the gates: with constant gates it is a depthwise strided "
        "convolution.",
    ),
    cost=_cost_of_tree,
)
def _tree(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    window: WindowSize = 3,
    levels: Annotated[int, Interval("[1, 6]")] = 1,
):
    size = per_axis(layer.along(window), x.ndim - 2, "window")
    mean = 1 / math.prod(size)
    spread = nn.initializers.normal(mean)

    def about_average(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        return mean + spread(key, shape, dtype)

    leaves = layer.param("leaves", about_average, (2**levels, *size), jnp.float32)
    gates = layer.param("gates", nn.initializers.zeros, (2**levels - 1, *size), jnp.float32)
    return tree_pool(x, list(leaves), list(gates), layer.strides, layer.style.padding)
