"""DenseNet-BC."""

import flax.linen as nn
from jax import Array
from ml_collections import ConfigDict

from cnn.layers import Head, Style, operator_of
from cnn.layers.dense import DenseLayer, DenseTransition
from cnn.models.registry import IMAGENET_SHAPE, MODELS, Network, check_stages, style_of
from cnn.models.resnet import Stem


class DenseNet(nn.Module):
    """A stem, stages whose layers see all layers before them, transitions in between, and a head.

    Attributes:
      growth: channels that each layer of a stage adds.
      depths: layers of each stage.
      stem: what comes first.
      downsample: operator of the transitions.
      head: the classifier.
      style: of the network.
    """

    growth: tuple[int, ...]
    depths: tuple[int, ...]
    stem: Stem
    downsample: str
    head: Head
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for images `[B, *spatial, C]`."""
        style, x = self.style, self.stem(x, train)
        for stage, (growth, depth) in enumerate(zip(self.growth, self.depths, strict=True), 1):
            if stage > 1:
                name = f"stage{stage}_transition"
                x = DenseTransition(self.downsample, style, name=name)(x, train)
                if operator_of(self.downsample).dilates:
                    style = style.dilated(2)
            for i in range(1, depth + 1):
                x = DenseLayer(growth, style, name=f"stage{stage}_block{i}")(x, train)
        return self.head(style.activate(style.make_norm("norm")(x, train)), train)


def _build(model: ConfigDict, num_classes: int) -> DenseNet:
    check_stages(model)
    style = style_of(model)
    stem = Stem(
        kind=model.stem,
        features=2 * model.features[0],
        downsample=model.stem_downsample,
        bare=model.stem == "cifar",
        style=style,
        name="stem",
    )
    return DenseNet(
        growth=tuple(model.features),
        depths=tuple(model.depths),
        stem=stem,
        downsample=model.downsample,
        head=Head(model.head, num_classes, style, model.dropout, name="head"),
        style=style,
    )


def _add(name: str, growth: int, depths: tuple[int, ...], stem: str) -> None:
    about = "Huang et al., CVPR 2017; model.features is what each layer of a stage adds"
    published = {
        "features": (growth,) * len(depths),
        "depths": depths,
        "stem": stem,
        "stem_downsample": {"cifar": "none", "imagenet": "max(window=3)", "deep": "max(window=3)"},
        "downsample": "avg",
        "head": "avg",
    }
    network = Network(
        build=_build,
        about=about,
        published=published,
        reads=frozenset({"features", "depths", "stem", "stem_downsample", "downsample"}),
        stems=("cifar", "imagenet", "deep"),
        input_shape=(32, 32, 3) if stem == "cifar" else IMAGENET_SHAPE,
    )
    MODELS.add(name, network)


for _depth, _growth, _depths in (
    (121, 32, (6, 12, 24, 16)),
    (161, 48, (6, 12, 36, 24)),
    (169, 32, (6, 12, 32, 32)),
    (201, 32, (6, 12, 48, 32)),
):
    _add(f"densenet{_depth}", _growth, _depths, "imagenet")
_add("densenet_bc100_12", 12, (16, 16, 16), "cifar")
