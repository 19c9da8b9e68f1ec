"""The plain block network of the field's first lesson."""

import flax.linen as nn
from jax import Array
from ml_collections import ConfigDict

from cnn.layers import ConvBlock, DownsamplingConv, Head, Style, style_of
from cnn.models.registry import MODELS, Network


class Plain(nn.Module):
    """Stages of 3x3 convolution blocks, each ending in the downsampling; pooled, then classified.

    Attributes:
      features: width of each stage.
      depths: blocks of each stage.
      downsample: operator at the end of each stage.
      head: the classifier.
      style: of the network.
    """

    features: tuple[int, ...]
    depths: tuple[int, ...]
    downsample: str
    head: Head
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for images `[B, *spatial, C]`."""
        for stage, (features, depth) in enumerate(zip(self.features, self.depths, strict=True), 1):
            for i in range(1, depth):
                x = ConvBlock(features, 3, self.style, name=f"stage{stage}_block{i}")(x, train)
            site = DownsamplingConv(
                features, 3, self.style, self.downsample, name=f"stage{stage}_block{depth}"
            )
            x, _ = site(x, train)
        return self.head(x, train)


def _build(model: ConfigDict, num_classes: int) -> Plain:
    style = style_of(model)
    return Plain(
        features=tuple(model.features),
        depths=tuple(model.depths) or (1,) * len(model.features),
        downsample=model.downsample,
        head=Head(model.head, num_classes, style, model.dropout, name="head"),
        style=style,
    )


MODELS.add(
    "plain",
    Network(
        build=_build,
        about="conv 3x3, norm, ReLU, max 2x2 per stage; average pooling, linear layer",
        published={"features": (32, 64, 128), "downsample": "max", "head": "avg"},
        reads=frozenset({"features", "depths", "downsample"}),
    ),
)
