"""Pooling that draws while training."""

import math
from typing import Annotated

from jax import Array

from cnn.config.errors import UserError
from cnn.config.fields import Interval
from cnn.layers.downsample import Card, Downsample, WindowSize, on_reduced_axes, register
from cnn.layers.work import Site, Work, windowed
from cnn.ops.padding import Size
from cnn.ops.stochastic import fractional_max_pool, s3_pool, stochastic_pool


@register(
    "stochastic",
    Card(
        formula="training: x_l with probability x_l / sum x; evaluation: sum x**2 / sum x",
        reference="Zeiler & Fergus, ICLR 2013",
        site="in place of max and average pooling",
        oracle=("stochastic_pool",),
        macs="window operations per output",
        pitfalls="negative elements are never drawn: use it after a ReLU. It regularises: compare "
        "arms with the same dropout and augmentation.",
    ),
    cost=windowed(2),
    stochastic=True,
)
def _stochastic(
    layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: WindowSize = 3
):
    key = layer.key(train)
    return stochastic_pool(
        x, layer.along(window), layer.strides, layer.style.padding, key=key, train=train
    )


@register(
    "s3",
    Card(
        formula="max at stride 1, then random rows and columns; evaluation: their average",
        reference="S3Pool, Zhai et al., CVPR 2017",
        site="in place of max pooling",
        oracle=("s3_pool",),
        macs="window comparisons per position of the input",
        pitfalls="grid is how long the stretches are that rows are drawn from (0: the strides; "
        "the authors take 16 and 8): a hyper-parameter of its own.",
    ),
    cost=lambda s: Work(operations=s.window() * math.prod(s.before)),
    stochastic=True,
)
def _s3(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    window: WindowSize = 2,
    grid: Annotated[int, Interval("[0, 65536]")] = 0,
):
    return s3_pool(
        x,
        layer.along(window),
        layer.strides,
        layer.style.padding,
        key=layer.key(train),
        train=train,
        grid=layer.along(grid) if grid else None,
    )


def _cost_of_fractional(s: Site) -> Work:
    length = s.options["ratio"] + s.options["overlapping"]
    return Work(operations=round(length**s.ndim * math.prod(s.after)))


@register(
    "fractional",
    Card(
        formula="max over regions of random length; n becomes floor(n / ratio)",
        reference="Graham 2014 (arXiv 1412.6071), pseudo-random and overlapping",
        site="in place of max pooling, more often because each reduces less",
        oracle=("fractional_max_pool",),
        macs="about (ratio + 1)**n comparisons per output",
        pitfalls="does not reduce by 2: other sizes, costs and depths, and a shortcut has to use "
        "it too. PyTorch's regions have a constant size instead.",
    ),
    cost=_cost_of_fractional,
    stochastic=True,
)
def _fractional(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    ratio: float = 1.4142,
    overlapping: bool = True,
):
    if ratio <= 1:
        raise UserError(f"ratio={ratio} does not reduce; use a number above 1, such as 1.4142")
    key = layer.key(train)

    def pool(x: Array, strides: Size) -> Array:
        sizes = [max(int(n / ratio), 1) for n in x.shape[1:-1]]
        return fractional_max_pool(x, sizes, key=key, train=train, overlapping=overlapping)

    return on_reduced_axes(x, layer.strides, pool)
