"""Networks of parallel branches: SqueezeNet, GoogLeNet and Inception-v3, one module."""

from dataclasses import dataclass, replace

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.layers import ConvBlock, Downsample, DownsamplingConv, Head, Style, operator_of
from cnn.layers.separable import rounded
from cnn.models.registry import MODELS, Network, style_of
from cnn.ops.padding import Size


@dataclass(frozen=True)
class Layer:
    """A convolution of a branch, or what stands in its place.

    Attributes:
      features: of the output; 0: a reduction without a convolution.
      windows: of the convolution; several are side by side.
      pool: "" or an operator of strides 1 that comes before.
      reduces: the resolution drops here.
      unpadded: the convolution is, where model.padding is VALID.
    """

    features: int
    windows: tuple[Size, ...] = (1,)
    pool: str = ""
    reduces: bool = False
    unpadded: bool = False


Branch = tuple[Layer, ...]


class Branches(nn.Module):
    """Branches side by side, whose outputs are joined by channel.

    Attributes:
      branches: of layers.
      downsample: operator where a convolution reduces.
      pool_downsample: operator of a branch that reduces and has no convolution.
      style: of the network.
    """

    branches: tuple[Branch, ...]
    downsample: str
    pool_downsample: str
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / reduction, features of all]`.

        Raises:
          UserError: the branches reduce to different sizes.
        """
        ends = []
        for number, branch in enumerate(self.branches, 1):
            y = x
            for i, layer in enumerate(branch, 1):
                y = self._layer(y, train, layer, f"branch{number}_%s{i}")
            ends.append(y)
        sizes = {end.shape[1:-1] for end in ends}
        if len(sizes) > 1:
            raise UserError(
                f"{'/'.join(self.path)}: model.downsample={self.downsample} and "
                f"model.shortcut_downsample={self.pool_downsample} reduce {x.shape[1:-1]} to "
                f"{' and '.join(map(str, sorted(sizes)))}; use operators with the same output size"
            )
        return jnp.concatenate(ends, axis=-1) if len(ends) > 1 else ends[0]

    def _layer(self, x: Array, train: bool, layer: Layer, name: str) -> Array:
        style = self.style
        if layer.pool:
            pool = Downsample(layer.pool, 1, _padded(style), name=name % "pool")
            x, _ = pool(x, train)
        if not layer.features:
            return reduced(x, train, self.pool_downsample, style, name % "downsample")
        strides = 2 if layer.reduces else 1
        unpadded = layer.unpadded or (layer.reduces and operator_of(self.downsample).on_conv)
        ends = []
        for i, window in enumerate(layer.windows):
            conv = DownsamplingConv(
                layer.features,
                window,
                style,
                self.downsample,
                strides=strides,
                padding=None if unpadded else _padded(style).padding,
                name=(name % "conv") + "abc"[i] * (len(layer.windows) > 1),
            )
            ends.append(conv(x, train)[0])
        return jnp.concatenate(ends, axis=-1) if len(ends) > 1 else ends[0]


def reduced(x: Array, train: bool, operator: str, style: Style, name: str) -> Array:
    """Applies an operator where no convolution comes before it; to be called in a module.

    One that is `on_conv` has a 3x3 convolution with norm and activation to stride.
    """
    if operator_of(operator).on_conv:
        return DownsamplingConv(x.shape[-1], 3, style, operator, name=name)(x, train)[0]
    return Downsample(operator, 2, style, name=name)(x, train)[0]


def _padded(style: Style) -> Style:
    """Returns the style of what keeps its size where reductions and stems are not padded."""
    return replace(style, padding="SAME") if style.padding == "VALID" else style


@dataclass(frozen=True)
class Stage:
    """Blocks of one resolution.

    Attributes:
      reduction: before them: None, none; (), an operator alone; else a block that reduces.
      blocks: the last one stands for all that follow.
    """

    reduction: tuple[Branch, ...] | None
    blocks: tuple[tuple[Branch, ...], ...]


class Inception(nn.Module):
    """A stem, stages of blocks of parallel branches with reductions in between, and a head.

    Attributes:
      stem: convolutions, the first of which has `stem_strides`.
      stem_strides: of it.
      stages: in order.
      stem_downsample: operator after the stem.
      downsample: operator of the convolutions that reduce.
      pool_downsample: operator of the reductions without a convolution: between stages, and on the
        pooling branch of blocks that reduce.
      head: the classifier.
      style: of the network.
    """

    stem: Branch
    stem_strides: int
    stages: tuple[Stage, ...]
    stem_downsample: str
    downsample: str
    pool_downsample: str
    head: Head
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for images `[B, *spatial, C]`."""
        style = self.style
        for i, layer in enumerate(self.stem, 1):
            padding = None if layer.unpadded else _padded(style).padding
            strides = self.stem_strides if i == 1 else 1
            shared = dict(strides=strides, padding=padding, name=f"stem_conv{i}")
            x = ConvBlock(layer.features, layer.windows[0], style, **shared)(x, train)
        x, _ = Downsample(self.stem_downsample, 2, style, name="stem_downsample")(x, train)
        for number, stage in enumerate(self.stages, 1):
            name = f"stage{number}_reduction"
            operator = self.downsample
            if stage.reduction:
                x = self._block(stage.reduction, style, name)(x, train)
            elif stage.reduction is not None:
                operator = self.pool_downsample
                x = reduced(x, train, operator, style, name)
            if stage.reduction is not None and operator_of(operator).dilates:
                style = style.dilated(2)
            for i, branches in enumerate(stage.blocks, 1):
                x = self._block(branches, style, f"stage{number}_block{i}")(x, train)
        return self.head(x, train)

    def _block(self, branches: tuple[Branch, ...], style: Style, name: str) -> Branches:
        return Branches(branches, self.downsample, self.pool_downsample, style, name=name)


@dataclass(frozen=True)
class _Builder:
    """Builds a network from config.model.

    Attributes:
      stem: its convolutions.
      stages: all that there are; model.depths says how many, and how many blocks each has.
      dense_first: see `Head`.
    """

    stem: Branch
    stages: tuple[Stage, ...]
    dense_first: bool = False

    def __call__(self, model: ConfigDict, num_classes: int) -> Inception:
        style, depths = style_of(model), tuple(model.depths)
        if not 1 <= len(depths) <= len(self.stages):
            raise UserError(
                f"model.depths: {depths} has {len(depths)} stages; {model.name} takes 1 to "
                f"{len(self.stages)}"
            )
        stages = []
        for depth, stage in zip(depths, self.stages, strict=False):
            last = len(stage.blocks) - 1
            blocks = [_scaled(stage.blocks[min(i, last)], model.width) for i in range(depth)]
            reduction = stage.reduction and _scaled(stage.reduction, model.width)
            stages.append(Stage(reduction, tuple(blocks)))
        # Small images keep their size, and one convolution is the stem.
        small = model.stem == "cifar"
        stem = self.stem[-1:] if small else self.stem
        return Inception(
            stem=_scaled((stem,), model.width)[0],
            stem_strides=1 if small else 2,
            stages=tuple(stages),
            stem_downsample=model.stem_downsample,
            downsample=model.downsample,
            pool_downsample=model.shortcut_downsample or model.downsample,
            head=Head(
                model.head,
                num_classes,
                style,
                model.dropout,
                dense_first=self.dense_first,
                name="head",
            ),
            style=style,
        )


def _scaled(branches: tuple[Branch, ...], width: float) -> tuple[Branch, ...]:
    """Returns branches whose widths are multiplied, by eights."""

    def scaled(layer: Layer) -> Layer:
        return replace(layer, features=layer.features and rounded(layer.features * width))

    return tuple(tuple(scaled(layer) for layer in branch) for branch in branches)


def _add(name: str, about: str, builder: _Builder, depths: tuple[int, ...], **more: object) -> None:
    pools = any(
        not layer.features
        for stage in builder.stages
        for branch in stage.reduction or ()
        for layer in branch
    )
    side = more.pop("side", 224)
    published = {
        "stem": "imagenet",
        "depths": depths,
        "stem_downsample": {"cifar": "none", "imagenet": "max(window=3)"},
        "downsample": "max(window=3)",
        "head": "avg",
    }
    reads = {"depths", "width", "stem", "stem_downsample", "downsample"}
    if pools:
        published["shortcut_downsample"] = "max(window=3)"
        reads.add("shortcut_downsample")
    network = Network(
        build=builder,
        about=about,
        published=published | more,
        reads=frozenset(reads),
        stems=("cifar", "imagenet"),
        input_shape=(side, side, 3),
    )
    MODELS.add(name, network)


def _fire(squeezed: int, expanded: int) -> tuple[Branch, ...]:
    return ((Layer(squeezed), Layer(expanded, (1, 3))),)


def _add_squeezenets() -> None:
    fires = [_fire(16 * n, 64 * n) for n in (1, 2, 3, 4)]
    one, two, three, four = fires
    shared = dict(norm="none")
    about = "Iandola et al. 2016; model.padding=VALID has the paper's sizes"
    stages = (
        Stage(None, (one, one, two)),
        Stage((), (two, three, three, four)),
        Stage((), (four,)),
    )
    builder = _Builder((Layer(96, (7,), unpadded=True),), stages, dense_first=True)
    _add("squeezenet1_0", about, builder, (3, 4, 1), **shared)
    stages = (
        Stage(None, (one, one)),
        Stage((), (two, two)),
        Stage((), (three, three, four, four)),
    )
    builder = _Builder((Layer(64, (3,), unpadded=True),), stages, dense_first=True)
    about = f"earlier poolings, 2.4 times fewer operations; {about}"
    _add("squeezenet1_1", about, builder, (2, 2, 4), **shared)


def _google(a: int, b: tuple[int, int], c: tuple[int, int], pooled: int) -> tuple[Branch, ...]:
    """A module of GoogLeNet, by the columns of table 1 there."""
    return (
        (Layer(a),),
        (Layer(b[0]), Layer(b[1], (3,))),
        (Layer(c[0]), Layer(c[1], (5,))),
        (Layer(pooled, pool="max(window=3)"),),
    )


def _add_googlenet() -> None:
    third = (_google(64, (96, 128), (16, 32), 32), _google(128, (128, 192), (32, 96), 64))
    fourth = (
        _google(192, (96, 208), (16, 48), 64),
        _google(160, (112, 224), (24, 64), 64),
        _google(128, (128, 256), (24, 64), 64),
        _google(112, (144, 288), (32, 64), 64),
        _google(256, (160, 320), (32, 128), 128),
    )
    fifth = (
        _google(256, (160, 320), (32, 128), 128),
        _google(384, (192, 384), (48, 128), 128),
    )
    entry = ((Layer(64), Layer(192, (3,))),)
    stages = (Stage(None, (entry,)), Stage((), third), Stage((), fourth), Stage((), fifth))
    about = "Szegedy et al., CVPR 2015, with batch norm, without the auxiliary classifiers"
    _add("googlenet", about, _Builder((Layer(64, (7,)),), stages), (1, 2, 5, 2))


def _add_inception_v3() -> None:
    down, up = (1, 7), (7, 1)

    def first(pooled: int) -> tuple[Branch, ...]:
        return (
            (Layer(64),),
            (Layer(48), Layer(64, (5,))),
            (Layer(64), Layer(96, (3,)), Layer(96, (3,))),
            (Layer(pooled, pool=_AVERAGE),),
        )

    def second(c: int) -> tuple[Branch, ...]:
        long = (Layer(c), Layer(c, (up,)), Layer(c, (down,)), Layer(c, (up,)), Layer(192, (down,)))
        return (
            (Layer(192),),
            (Layer(c), Layer(c, (down,)), Layer(192, (up,))),
            long,
            (Layer(192, pool=_AVERAGE),),
        )

    sides = ((1, 3), (3, 1))
    third = (
        (Layer(320),),
        (Layer(384), Layer(384, sides)),
        (Layer(448), Layer(384, (3,)), Layer(384, sides)),
        (Layer(192, pool=_AVERAGE),),
    )
    halved, pooled = dict(windows=(3,), reduces=True), (Layer(0),)
    to_second = (
        (Layer(384, **halved),),
        (Layer(64), Layer(96, (3,)), Layer(96, **halved)),
        pooled,
    )
    to_third = (
        (Layer(192), Layer(320, **halved)),
        (Layer(192), Layer(192, (down,)), Layer(192, (up,)), Layer(192, **halved)),
        pooled,
    )
    entry = ((Layer(80), Layer(192, (3,), unpadded=True)),)
    stages = (
        Stage(None, (entry,)),
        Stage((), (first(32), first(64))),
        Stage(to_second, (second(128), second(160), second(160), second(192))),
        Stage(to_third, (third,)),
    )
    stem = (
        Layer(32, (3,), unpadded=True),
        Layer(32, (3,), unpadded=True),
        Layer(64, (3,)),
    )
    _add(
        "inception_v3",
        "Szegedy et al., CVPR 2016, without the auxiliary classifier; model.padding=VALID has the "
        "paper's sizes, model.shortcut_downsample is where it pools, also in parallel",
        _Builder(stem, stages),
        (1, 3, 4, 2),
        side=299,
        downsample="strided_conv",
    )


_AVERAGE = "avg(window=3, count_padding=True)"

_add_squeezenets()
_add_googlenet()
_add_inception_v3()
