"""Maximum, average, subsampling, and leaving the resolution as it is."""

from jax import Array

from cnn.layers.downsample import Card, Downsample, register
from cnn.ops.average import avg_pool, subsample
from cnn.ops.max_pool import max_pool


@register(
    "max",
    Card(
        formula="y = max of the window",
        reference="Riesenhuber & Poggio, Nature Neuroscience 1999; Scherer et al., ICANN 2010",
        macs="window comparisons an output",
        pitfalls="XLA's own gradient has no deterministic form on a GPU; ours is made of slices. "
        "Gradients of jnp.max split ties, select-and-scatter (and ours) do not. SAME and torch "
        "padding sample other positions for window 3, strides 2 on even sizes.",
    ),
)
def _max(layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: int = 2):
    return max_pool(x, window, layer.strides, layer.style.padding)


@register(
    "avg",
    Card(
        formula="y = mean of the window, of the elements inside the input",
        reference="LeCun et al., NIPS 1990 (there with a learned gain and bias)",
        macs="window additions an output",
        pitfalls="flax and PyTorch count the padding unless told otherwise, TensorFlow and this "
        "operator do not.",
    ),
)
def _avg(layer: Downsample, x: Array, train: bool, phase: Array | None, *, window: int = 2):
    return avg_pool(x, window, layer.strides, layer.style.padding)


@register(
    "subsample",
    Card(
        formula="y = every stride-th element",
        reference="the shortcut of option A in He et al., CVPR 2016",
        pitfalls="aliases; a strided 1x1 convolution looks at the same quarter of its input.",
    ),
)
def _subsample(layer: Downsample, x: Array, train: bool, phase: Array | None):
    return subsample(x, layer.strides)


@register(
    "none",
    Card(
        formula="y = x",
        reference="the dense control: an upper bound of resolution and of cost",
        macs="everything behind it works at strides**2 times the positions",
        pitfalls="main path and shortcut have to agree on it.",
    ),
    keeps_resolution=True,
)
def _none(layer: Downsample, x: Array, train: bool, phase: Array | None):
    return x
