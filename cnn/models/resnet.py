"""The residual networks: one module; depths, blocks, stems and sites are its parameters."""

from dataclasses import dataclass, replace

import flax.linen as nn
from jax import Array
from ml_collections import ConfigDict

from cnn.layers import ConvBlock, Downsample, Head, Style, operator_of
from cnn.layers.conv import Conv
from cnn.layers.residual import (
    BASIC,
    BOTTLENECK,
    BOTTLENECK_V1,
    BlockForm,
    ResidualBlock,
    Sites,
)
from cnn.layers.scanned import scanned
from cnn.layers.stochastic_depth import linear_rates
from cnn.models.registry import (
    IMAGENET_SHAPE,
    MODELS,
    RESIDUAL_SITES,
    Network,
    check_scan,
    check_stages,
    style_of,
)


class Stem(nn.Module):
    """What comes before the first stage.

    Attributes:
      kind: "cifar": 3x3; "imagenet": 7x7 with strides 2; "deep": three 3x3, the first with strides
        2 and the first two half as wide (ResNet-C of He et al., CVPR 2019); "strided": 3x3 with
        strides 2.
      features: of the output.
      downsample: operator at the end.
      bare: convolution only, as pre-activated networks have it.
      style: of the network.
    """

    kind: str
    features: int
    downsample: str
    bare: bool
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / reduction, features]`."""
        half = self.features // 2
        convs = {
            "cifar": [(self.features, 3, 1)],
            "imagenet": [(self.features, 7, 2)],
            "strided": [(self.features, 3, 2)],
            "deep": [(half, 3, 2), (half, 3, 1), (self.features, 3, 1)],
        }[self.kind]
        for i, (features, window, strides) in enumerate(convs, 1):
            if self.bare and i == len(convs):
                x = Conv(features, window, self.style, strides=strides, name=f"conv{i}")(x)
            else:
                block = ConvBlock(features, window, self.style, strides=strides, name=f"conv{i}")
                x = block(x, train)
        x, _ = Downsample(self.downsample, 2, self.style, name="downsample")(x, train)
        return x


class ResNet(nn.Module):
    """A stem, stages of residual blocks, and a head.

    Attributes:
      features: width of each stage; its output has `form.expansion` times as many channels.
      depths: blocks of each stage; the first of every stage but the first reduces by 2.
      form: of the blocks.
      sites: the operators of the blocks.
      stem: what comes first.
      stochastic_depth: rate of the last block.
      head: the classifier.
      style: of the network.
      scan: whether the blocks after the first of a stage are compiled once, in training.
      first_reduces: the first stage reduces too.
    """

    features: tuple[int, ...]
    depths: tuple[int, ...]
    form: BlockForm
    sites: Sites
    stem: Stem
    stochastic_depth: float
    head: Head
    style: Style
    scan: bool = False
    first_reduces: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for images `[B, *spatial, C]`."""
        x = self.stem(x, train)
        rates = iter(linear_rates(self.stochastic_depth, sum(self.depths)))
        style = self.style
        for stage, (width, depth) in enumerate(zip(self.features, self.depths, strict=True), 1):
            names = [f"stage{stage}_block{i}" for i in range(1, depth + 1)]
            loop = self.scan and train and not self.is_initializing()
            for i, name in enumerate(names[:1] if loop else names):
                strides = 2 if i == 0 and (stage > 1 or self.first_reduces) else 1
                block = ResidualBlock(
                    width, self.form, self.sites, style, strides, next(rates), name=name
                )
                x = block(x, train)
                if strides == 2 and operator_of(self.sites.main).dilates:
                    style = style.dilated(2)
            if loop and depth > 1:
                block = ResidualBlock(width, self.form, self.sites, style, parent=None)
                x = scanned(self, block, names[1:], x)
        if self.form.preactivated:
            x = self.style.activate(self.style.make_norm("norm")(x, train))
        return self.head(x, train)


@dataclass(frozen=True)
class _Builder:
    """Builds the network of a form from config.model.

    Attributes:
      form: of the blocks.
      stem_features: width of the stem, 0 for that of the first stage.
      first_reduces: see `ResNet`.
    """

    form: BlockForm
    stem_features: int = 0
    first_reduces: bool = False

    def __call__(self, model: ConfigDict, num_classes: int) -> ResNet:
        check_stages(model)
        check_scan(model)
        style = style_of(model)
        stem = Stem(
            kind=model.stem,
            features=self.stem_features or model.features[0],
            downsample=model.stem_downsample,
            bare=self.form.preactivated,
            style=style,
            name="stem",
        )
        return ResNet(
            features=tuple(model.features),
            depths=tuple(model.depths),
            form=self.form,
            sites=Sites(model.downsample, model.shortcut_downsample, model.shortcut),
            stem=stem,
            stochastic_depth=model.stochastic_depth,
            head=Head(model.head, num_classes, style, model.dropout, name="head"),
            style=style,
            scan=model.scan,
            first_reduces=self.first_reduces,
        )


def _add(name: str, about: str, builder: _Builder, stem: str, **published: object) -> None:
    reads = RESIDUAL_SITES | {"features", "depths", "stem", "stochastic_depth", "scan"}
    after = {"cifar": "none", "strided": "none"}
    defaults = {
        "stem": stem,
        "stem_downsample": after | {"imagenet": "max(window=3)", "deep": "max(window=3)"},
        "downsample": "strided_conv",
        "shortcut_downsample": "subsample",
        "shortcut": "projection",
        "head": "avg",
    }
    network = Network(
        build=builder,
        about=about,
        published=defaults | published,
        reads=reads if builder.form.preactivated else reads | {"zero_scale"},
        stems=("cifar", "imagenet", "deep", "strided"),
        input_shape=(32, 32, 3) if stem == "cifar" else IMAGENET_SHAPE,
    )
    MODELS.add(name, network)


def _add_cifar() -> None:
    he = "6n + 2 layers, option A; He et al., CVPR 2016, section 4.2"
    cifar = dict(stem="cifar", features=(16, 32, 64), shortcut="pad")
    for depth in (20, 32, 44, 56, 110):
        _add(f"resnet{depth}", he, _Builder(BASIC), depths=((depth - 2) // 6,) * 3, **cifar)
    pre = "pre-activation, option A; He et al., ECCV 2016"
    basic, bottleneck = (replace(form, preactivated=True) for form in (BASIC, BOTTLENECK))
    _add("preact_resnet110", pre, _Builder(basic), depths=(18,) * 3, **cifar)
    _add("preact_resnet164", pre, _Builder(bottleneck, 16), depths=(18,) * 3, **cifar)
    for depth, k in ((16, 4), (16, 8), (22, 8), (28, 10), (28, 12), (40, 1), (40, 2), (40, 4)):
        _add(
            f"wrn{depth}_{k}",
            "wide pre-activated blocks; Zagoruyko & Komodakis, BMVC 2016",
            _Builder(basic, stem_features=16),
            stem="cifar",
            features=(16 * k, 32 * k, 64 * k),
            depths=((depth - 4) // 6,) * 3,
        )


def _add_imagenet() -> None:
    depths = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
    depths[152] = (3, 8, 36, 3)
    for depth, blocks in depths.items():
        form = BASIC if depth < 50 else BOTTLENECK
        shape = dict(stem="imagenet", features=(64, 128, 256, 512), depths=blocks)
        version = "option B" if depth < 50 else "v1.5: the 3x3 strides, also called B"
        deep = shape | {"stem": "deep"}
        tricks = "He et al., CVPR 2019"
        _add(f"resnet{depth}", f"{version}; He et al., CVPR 2016", _Builder(form), **shape)
        if depth >= 50:
            v1 = "v1, the paper's: the first 1x1 strides; He et al., CVPR 2016"
            _add(f"resnet{depth}_v1", v1, _Builder(BOTTLENECK_V1), **shape)
        _add(f"resnet{depth}c", f"three 3x3 as stem; {tricks}", _Builder(form), **deep)
        d = f"c, and averages on the shortcuts; {tricks}"
        _add(f"resnet{depth}d", d, _Builder(form), **deep, shortcut_downsample="avg")
        squeeze = replace(form, squeeze_excite=True)
        about = "squeeze-and-excitation, reduction 16; Hu et al., CVPR 2018"
        _add(f"se_resnet{depth}", about, _Builder(squeeze), **shape)
        pre = replace(form, preactivated=True)
        about = "pre-activation, bare stem; He et al., ECCV 2016"
        _add(f"preact_resnet{depth}", about, _Builder(pre), **shape)


def _add_wide() -> None:
    shape = dict(stem="imagenet", features=(64, 128, 256, 512))
    depths = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
    for depth, groups, each in ((50, 32, 4), (101, 32, 8), (101, 64, 4)):
        form = replace(BOTTLENECK, groups=groups, middle=groups * each // 64)
        about = f"{groups} groups of {each} channels per 64 of width; Xie et al., CVPR 2017"
        name = f"resnext{depth}_{groups}x{each}d"
        _add(name, about, _Builder(form), depths=depths[depth], **shape)
    for depth, blocks in depths.items():
        about = "bottlenecks twice as wide; Zagoruyko & Komodakis, BMVC 2016, as in torchvision"
        builder = _Builder(replace(BOTTLENECK, middle=2))
        _add(f"wide_resnet{depth}_2", about, builder, depths=blocks, **shape)


# Radosavovic et al., CVPR 2020, tables 3 and 4: widths, blocks, channels of a group.
_REGNETS = {
    "x_200mf": ((24, 56, 152, 368), (1, 1, 4, 7), 8),
    "x_400mf": ((32, 64, 160, 400), (1, 2, 7, 12), 16),
    "x_800mf": ((64, 128, 288, 672), (1, 3, 7, 5), 16),
    "x_1_6gf": ((72, 168, 408, 912), (2, 4, 10, 2), 24),
    "x_3_2gf": ((96, 192, 432, 1008), (2, 6, 15, 2), 48),
    "y_200mf": ((24, 56, 152, 368), (1, 1, 4, 7), 8),
    "y_400mf": ((48, 104, 208, 440), (1, 3, 6, 6), 8),
    "y_800mf": ((64, 128, 320, 768), (1, 3, 8, 2), 16),
    "y_1_6gf": ((48, 120, 336, 888), (2, 6, 17, 2), 24),
    "y_3_2gf": ((72, 216, 576, 1512), (2, 5, 13, 1), 24),
}


def _add_regnets() -> None:
    for name, (widths, depths, group) in _REGNETS.items():
        squeezed = 0.25 if name[0] == "y" else 0.0
        form = BlockForm((1, 3, 1), strided=1, group_width=group, squeezed=squeezed)
        about = f"groups of {group} channels, each stage reduces; Radosavovic et al., CVPR 2020"
        builder = _Builder(form, stem_features=32, first_reduces=True)
        _add(f"regnet_{name}", about, builder, stem="strided", features=widths, depths=depths)


_add_cifar()
_add_imagenet()
_add_regnets()
_add_wide()
