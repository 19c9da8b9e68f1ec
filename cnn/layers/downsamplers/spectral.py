"""Downsampling in the frequency domain, and by wavelets. Borders are circular."""

import math
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cnn.layers.downsample import Card, Downsample, on_reduced_axes, register
from cnn.layers.work import Site, Work, fourier
from cnn.ops.padding import Size
from cnn.ops.spectral import asap, diffstride, flc_pool, spectral_pool
from cnn.ops.wavelet import wavelet_pool

_FFT = "two Fourier transforms"


@register(
    "spectral",
    Card(
        formula="y = inverse DFT of the low frequencies, the two Nyquist bins halved",
        reference="Rippel et al., NeurIPS 2015",
        site="replacing max pooling",
        oracle=("spectral_pool",),
        macs=_FFT,
        pitfalls="rings at edges, also across the circular border. Keeping only one of the two "
        "Nyquist bins makes the output complex, which other implementations hide.",
    ),
    cost=fourier,
)
def _spectral(layer: Downsample, x: Array, train: bool, phase: Array | None):
    return spectral_pool(x, layer.strides)


@register(
    "flc",
    Card(
        formula="y = real part of the inverse DFT of the low frequencies -m/2 <= k < m/2",
        reference="FrequencyLowCut pooling, Grabinski et al., ECCV 2022",
        site="after a stride-1 convolution, replacing its stride",
        oracle=("flc_pool",),
        macs=_FFT,
        pitfalls="an earlier release takes the modulus, which flips the sign of negative values.",
    ),
    cost=fourier,
)
def _flc(layer: Downsample, x: Array, train: bool, phase: Array | None):
    return flc_pool(x, layer.strides)


@register(
    "asap",
    Card(
        formula="y = spectral pooling with bins weighted by sqrt(0.54 + 0.46 cos(2 pi k / n))",
        reference="Grabinski et al. 2023 (arXiv 2307.09804)",
        site="after a stride-1 convolution, replacing its stride",
        oracle=("asap",),
        macs=_FFT,
        pitfalls="the authors' window is centred between two bins and cached for the first input "
        "size; here it is centred on bin 0, so constants are preserved.",
    ),
    cost=fourier,
)
def _asap(layer: Downsample, x: Array, train: bool, phase: Array | None):
    return on_reduced_axes(x, layer.strides, asap)


@register(
    "diff_stride",
    Card(
        formula="y = spectral pooling with a soft cutoff at a learned stride, initialised to 2",
        reference="DiffStride, Riad et al., ICLR 2022, with a fixed output size",
        site="after a stride-1 convolution, replacing its stride, on both paths of residual blocks",
        oracle=("diffstride",),
        parameters="n",
        macs=_FFT,
        pitfalls="the published output size depends on the learned stride and cannot be compiled; "
        "here the output size is fixed and the learned stride sets the cutoff frequency.",
    ),
    cost=fourier,
)
def _diff_stride(
    layer: Downsample, x: Array, train: bool, phase: Array | None, *, smoothness: float = 4.0
):
    def pool(x: Array, strides: Size) -> Array:
        start = nn.initializers.constant(2.0)
        stride = layer.param("stride", start, (x.ndim - 2,), jnp.float32)
        return diffstride(x, stride, strides, smoothness=smoothness)

    return on_reduced_axes(x, layer.strides, pool)


def _cost_of_wavelet(s: Site) -> Work:
    taps = {"haar": 2, "db2": 4}[s.options["wavelet"]]
    # Axes are filtered one at a time, and those already filtered are shorter.
    strides = [b / a for b, a in zip(s.before[:-1], s.after[:-1], strict=True)]
    outputs = [math.prod(s.before) / math.prod(strides[: i + 1]) for i in range(s.ndim)]
    return Work(macs=round(taps * sum(outputs)))


@register(
    "wavelet",
    Card(
        formula="y = low-pass band of an orthonormal wavelet transform: haar or db2",
        reference="Williams & Li, ICLR 2018; WaveCNet, Li et al., CVPR 2020",
        site="replacing pooling; or after a stride-1 convolution, replacing its stride",
        oracle=("wavelet_pool",),
        macs="taps per axis and output: 2 (haar), 4 (db2)",
        pitfalls="scales constants by 2 in 2-D: haar is twice 2x2 average pooling.",
    ),
    cost=_cost_of_wavelet,
)
def _wavelet(
    layer: Downsample,
    x: Array,
    train: bool,
    phase: Array | None,
    *,
    wavelet: Literal["haar", "db2"] = "haar",
):
    return wavelet_pool(x, layer.strides, wavelet=wavelet)
