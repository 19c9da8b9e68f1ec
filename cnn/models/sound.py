"""Networks for sound: deep ones on waves, and depthwise-separable ones for keywords."""

import flax.linen as nn
from jax import Array
from ml_collections import ConfigDict

from cnn.layers import (
    ConvBlock,
    Downsample,
    DownsamplingConv,
    Head,
    Style,
    operator_of,
)
from cnn.models.registry import MODELS, Network, check_stages, style_of

WAVE_SHAPE = (8000, 1)
KEYWORD_SHAPE = (49, 10, 1)  # 49 frames of 10 MFCC


class DeepWave(nn.Module):
    """A convolution over 80 samples with strides 4, and stages of convolutions over 3 positions.

    Dai et al., "Very Deep Convolutional Neural Networks for Raw Waveforms", ICASSP 2017.

    Attributes:
      features: width of each stage; the first one's is the stem's as well.
      depths: convolutions of each stage.
      stem_downsample: operator after the stem, by 4.
      downsample: operator at the end of each stage, by 4.
      pools_last: whether the last stage ends in it as well.
      head: the classifier.
      style: of the network.
    """

    features: tuple[int, ...]
    depths: tuple[int, ...]
    stem_downsample: str
    downsample: str
    pools_last: bool
    head: Head
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for waves `[B, T, C]`."""
        style = self.style
        x = ConvBlock(self.features[0], 80, style, strides=4, name="stem")(x, train)
        x, _ = Downsample(self.stem_downsample, 4, style, name="stem_downsample")(x, train)
        for stage, (features, depth) in enumerate(zip(self.features, self.depths, strict=True), 1):
            pools = self.pools_last or stage < len(self.features)
            for i in range(1, depth + 1):
                name = f"stage{stage}_block{i}"
                strides = 4 if pools and i == depth else 1
                site = DownsamplingConv(
                    features, 3, style, self.downsample, strides=strides, name=name
                )
                x, _ = site(x, train)
            if pools and operator_of(self.downsample).dilates:
                style = style.dilated(4)
        return self.head(x, train)


class SeparableKeywords(nn.Module):
    """DS-CNN: a convolution over 10 frames and 4 bands, and depthwise-separable blocks.

    Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", 2017; biases before the norms
    as in their code.

    Attributes:
      features: of every layer.
      depth: separable blocks.
      early: the first convolution halves both axes; else it halves time, and the first separable
        block both.
      downsample: operator where both axes are halved.
      stem_dropout: rate, after the first convolution, as in MLPerf Tiny.
      head: the classifier.
      style: of the network.
    """

    features: int
    depth: int
    early: bool
    downsample: str
    stem_dropout: float
    head: Head
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for features `[B, frames, bands, C]`."""
        style, others = self.style, x.ndim - 3
        window = (10, *(4,) * others)
        if self.early:
            site = DownsamplingConv(
                self.features, window, style, self.downsample, use_bias=True, name="stem"
            )
            x, _ = site(x, train)
        else:
            strides = (2, *(1,) * others)
            x = ConvBlock(
                self.features, window, style, strides=strides, use_bias=True, name="stem"
            )(x, train)
        x = nn.Dropout(self.stem_dropout, deterministic=not train)(x)
        for i in range(1, self.depth + 1):
            reduces = i == 1 and not self.early
            if operator_of(self.downsample).dilates and (self.early or i == 2):
                style = self.style.dilated(2)
            depthwise = DownsamplingConv(
                self.features,
                3,
                style,
                self.downsample,
                strides=2 if reduces else 1,
                groups=self.features,
                use_bias=True,
                name=f"block{i}_depthwise",
            )
            x, _ = depthwise(x, train)
            x = ConvBlock(self.features, 1, style, use_bias=True, name=f"block{i}_pointwise")(
                x, train
            )
        return self.head(x, train)


def _build_wave(model: ConfigDict, num_classes: int) -> DeepWave:
    check_stages(model)
    style = style_of(model)
    return DeepWave(
        features=tuple(model.features),
        depths=tuple(model.depths),
        stem_downsample=model.stem_downsample,
        downsample=model.downsample,
        pools_last=model.name == "m5",
        head=Head(model.head, num_classes, style, model.dropout, name="head"),
        style=style,
    )


def _build_keywords(model: ConfigDict, num_classes: int) -> SeparableKeywords:
    check_stages(model, most=1)
    style = style_of(model)
    return SeparableKeywords(
        features=model.features[0],
        depth=model.depths[0],
        early=model.name == "ds_cnn_s",
        downsample=model.downsample,
        stem_dropout=model.stem_dropout,
        head=Head(model.head, num_classes, style, model.dropout, name="head"),
        style=style,
    )


_WAVES = {
    "m5": ((128, 256, 512), (1, 1, 1)),
    "m11": ((64, 128, 256, 512), (2, 2, 3, 2)),
    "m18": ((64, 128, 256, 512), (4, 4, 4, 4)),
}
for _name, (_features, _depths) in _WAVES.items():
    MODELS.add(
        _name,
        Network(
            build=_build_wave,
            about="on waves of 8 kHz; Dai et al., ICASSP 2017",
            published={
                "features": _features,
                "depths": _depths,
                "stem_downsample": "max(window=4)",
                "downsample": "max(window=4)",
                "head": "avg",
            },
            reads=frozenset({"features", "depths", "stem_downsample", "downsample"}),
            input_shape=WAVE_SHAPE,
        ),
    )
for _name, _features, _depth in (("s", 64, 4), ("m", 172, 4), ("l", 276, 5)):
    MODELS.add(
        f"ds_cnn_{_name}",
        Network(
            build=_build_keywords,
            about="DS-CNN for keywords, on 49 frames of 10 MFCC; Zhang et al. 2017, 'Hello Edge'",
            published={
                "features": (_features,),
                "depths": (_depth,),
                "downsample": "strided_conv",
                "head": "avg",
            },
            reads=frozenset({"features", "depths", "downsample", "stem_dropout"}),
            input_shape=KEYWORD_SHAPE,
        ),
    )
