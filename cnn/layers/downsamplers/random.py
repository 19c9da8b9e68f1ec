"""Pooling that is stochastic during training."""

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
        site="replacing max and average pooling",
        oracle=("stochastic_pool",),
        macs="window operations per output",
        pitfalls="negative elements are never sampled: use it after a ReLU. It regularises: "
        "compare arms at equal dropout and augmentation.",
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
        formula="max at stride 1, then randomly sampled rows and columns; evaluation: their "
        "average",
        reference="S3Pool, Zhai et al., CVPR 2017",
        site="replacing max pooling",
        oracle=("s3_pool",),
        macs="window comparisons per input position",
        pitfalls="grid is the length of the segments from which rows are sampled (0: the stride; "
        "the authors use 16 and 8), an additional hyperparameter.",
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
        site="replacing max pooling, applied more often since each reduces less",
        oracle=("fractional_max_pool",),
        macs="about (ratio + 1)**n comparisons per output",
        pitfalls="does not reduce by a factor of 2, so sizes, costs and depths differ, and a "
        "shortcut has to use it too. PyTorch uses regions of constant size instead.",
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
