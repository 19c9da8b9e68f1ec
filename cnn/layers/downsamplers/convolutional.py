"""Learned downsampling by convolution, alone or combined with pooling."""

from jax import Array

from cnn.layers.conv import Conv, ConvBlock
from cnn.layers.downsample import DOWNSAMPLERS, Card, Downsample, Operator, WindowSize, register
from cnn.layers.work import nothing, windowed
from cnn.ops.average import avg_pool
from cnn.ops.max_pool import max_pool

DOWNSAMPLERS.add(
    "strided_conv",
    Operator(
        apply=None,
        on_conv=True,
        cost=nothing,
        card=Card(
            formula="the site's convolution is strided: y = subsample(conv(x))",
            reference="LeCun et al. 1998; Strided-CNN of Springenberg et al., ICLR-W 2015",
            site="replacing max pooling: the convolution before it becomes strided",
            oracle=("conv",),
            macs="strides**n times fewer in the site's convolution",
            pitfalls="a strided 1x1 convolution ignores 3/4 of its input. Whether a bottleneck "
            "puts the stride in its 1x1 (v1) or its 3x3 (v1.5) is often left unstated.",
        ),
    ),
)


@register(
    "all_conv",
    Card(
        formula="y = activation(norm(conv(x, window, strides))), equal channels",
        reference="All-CNN of Springenberg et al., ICLR-W 2015",
        site="replacing max pooling, as a separate layer",
        oracle=("conv",),
        parameters="window**n * C**2, plus the norm's",
        macs="window**n * C**2 per output",
        pitfalls="adds a layer: conv_pool is the control with equal parameters. Ports that omit "
        "the activation do not reach the paper's accuracy.",
    ),
    cost=nothing,
)
def _all_conv(
    layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 3
):
    block = ConvBlock(
        x.shape[-1], layer.along(window), layer.style, strides=layer.strides, name="block"
    )
    return block(x, train)


@register(
    "conv_pool",
    Card(
        formula="y = max(activation(norm(conv(x, window)))), equal channels",
        reference="ConvPool-CNN of Springenberg et al., ICLR-W 2015",
        site="before max pooling, as the control for all_conv",
        oracle=("conv", "max_pool"),
        parameters="window**n * C**2, plus the norm's",
        macs="window**n * C**2 per input position",
        pitfalls="the control for all_conv: equal parameters, strides**n times the operations.",
    ),
    cost=windowed(option="pool"),
)
def _conv_pool(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    window: WindowSize = 3,
    pool: WindowSize = 2,
):
    x = ConvBlock(x.shape[-1], layer.along(window), layer.style, name="block")(x, train)
    return max_pool(x, layer.along(pool), layer.strides, layer.style.padding)


@register(
    "avg_conv",
    Card(
        formula="y = conv1x1(avg(x)), equal channels",
        reference="the ResNet-D shortcut, He et al., CVPR 2019",
        site="on shortcuts, replacing the strided 1x1 convolution",
        oracle=("avg_pool", "conv"),
        parameters="C**2",
        macs="C**2 per output",
        pitfalls="the same function as conv_avg (the two operations commute) for a quarter of the "
        "cost.",
    ),
    cost=windowed(),
)
def _avg_conv(
    layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 2
):
    x = avg_pool(x, layer.along(window), layer.strides, layer.style.padding)
    return Conv(x.shape[-1], 1, layer.style, name="conv")(x)


@register(
    "conv_avg",
    Card(
        formula="y = avg(conv1x1(x)), equal channels",
        reference="the DenseNet transition layer, Huang et al., CVPR 2017",
        site="between dense blocks",
        oracle=("conv", "avg_pool"),
        parameters="C**2",
        macs="C**2 per input position",
        pitfalls="the same function as avg_conv: arms with both are an A/A comparison.",
    ),
    cost=windowed(),
)
def _conv_avg(
    layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 2
):
    x = Conv(x.shape[-1], 1, layer.style, name="conv")(x)
    return avg_pool(x, layer.along(window), layer.strides, layer.style.padding)
