"""Networks for clips `[B, T, H, W, C]`: C3D, smaller plain networks, and residual ones."""

from functools import partial

import flax.linen as nn
from jax import Array
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.layers import ClipConv, ClipResidualBlock, ClipSite, Downsample, Head, Style
from cnn.models.registry import MODELS, Network, check_stages, style_of


def _check_clips(x: Array) -> None:
    if x.ndim != 5:
        raise UserError(
            f"model.name: this network takes clips [frames, height, width, channels], but the "
            f"data has shape {list(x.shape[1:])}; use a data set of clips, or a network for images"
        )


class PlainClips(nn.Module):
    """Convolutions over space and time in stages, each of which ends in a reduction.

    The first stage keeps all frames: Tran et al. (ICCV 2015) so "not merge the temporal signal too
    early".

    Attributes:
      features: width of each stage.
      depths: convolutions of each stage.
      form: of the convolutions.
      site: the operators.
      head: the classifier.
      style: of the network.
    """

    features: tuple[int, ...]
    depths: tuple[int, ...]
    form: str
    site: ClipSite
    head: Head
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for clips `[B, T, H, W, C]`."""
        _check_clips(x)
        style = self.style
        for stage, (width, depth) in enumerate(zip(self.features, self.depths, strict=True), 1):
            strides = (1 if stage == 1 else 2, 2)
            for i in range(1, depth + 1):
                # The pixels have no channels to separate.
                form = "full" if (self.form, stage, i) == ("depthwise", 1, 1) else self.form
                site = self.site if i == depth else None
                name = f"stage{stage}_block{i}"
                x, _ = ClipConv(width, style, form, site, strides, name=name)(x, train)
            style = self.site.after(style, *strides)
        return self.head(x, train)


class ClipStem(nn.Module):
    """What comes before the first stage.

    Attributes:
      kind: "imagenet": 3x7x7, strides 2 in space; "cifar": 3x3x3, no strides.
      form: of the convolution.
      features: of the output.
      downsample: operator at the end, in space.
      style: of the network.
    """

    kind: str
    form: str
    features: int
    downsample: str
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, T, H / reduction, W / reduction, features]`."""
        window = {"imagenet": (3, 7), "cifar": (3, 3)}[self.kind]
        space = 2 if self.kind == "imagenet" else 1
        # 45 of 64, as the authors' code and torchvision have it: not the formula's 83.
        middle = max(1, 45 * self.features // 64) if self.kind == "imagenet" else 0
        conv = ClipConv(
            self.features,
            self.style,
            self.form,
            ClipSite("strided_conv", "strided_conv"),
            strides=(1, space),
            window=window,
            middle=middle,
            name="conv",
        )
        x, _ = conv(x, train)
        x, _ = Downsample(self.downsample, (1, 2, 2), self.style, name="downsample")(x, train)
        return x


class ClipResNet(nn.Module):
    """A stem, stages of two-convolution residual blocks over space and time, and a head.

    Attributes:
      features: width of each stage.
      depths: blocks of each stage; the first of every stage but the first halves time and space.
      form: of the convolutions after the first stage; "spatial" keeps time.
      stem: what comes first.
      main: the operators of the branches.
      shortcut: the operators on the way around.
      head: the classifier.
      style: of the network.
    """

    features: tuple[int, ...]
    depths: tuple[int, ...]
    form: str
    stem: ClipStem
    main: ClipSite
    shortcut: ClipSite
    head: Head
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for clips `[B, T, H, W, C]`."""
        _check_clips(x)
        x, style = self.stem(x, train), self.style
        for stage, (width, depth) in enumerate(zip(self.features, self.depths, strict=True), 1):
            form = "full" if self.form == "spatial" and stage == 1 else self.form
            for i in range(1, depth + 1):
                strides = (2, 2) if i == 1 < stage else (1, 1)
                name = f"stage{stage}_block{i}"
                block = ClipResidualBlock(
                    width, style, form, self.main, self.shortcut, strides, name=name
                )
                x = block(x, train)
                if form != "spatial":
                    style = self.main.after(style, *strides)
                else:
                    style = self.main.after(style, 1, strides[1])
        return self.head(x, train)


def _head(model: ConfigDict, num_classes: int, style: Style) -> Head:
    return Head(model.head, num_classes, style, model.dropout, name="head")


def _build_plain(model: ConfigDict, num_classes: int, form: str) -> PlainClips:
    check_stages(model)
    style = style_of(model)
    return PlainClips(
        features=tuple(model.features),
        depths=tuple(model.depths),
        form=form,
        site=ClipSite(model.downsample, model.temporal_downsample),
        head=_head(model, num_classes, style),
        style=style,
    )


def _build_resnet(model: ConfigDict, num_classes: int, form: str) -> ClipResNet:
    check_stages(model)
    style = style_of(model)
    stem_form = "factorised" if form == "factorised" else "full"
    return ClipResNet(
        features=tuple(model.features),
        depths=tuple(model.depths),
        form=form,
        stem=ClipStem(
            model.stem, stem_form, model.features[0], model.stem_downsample, style, name="stem"
        ),
        main=ClipSite(model.downsample, model.temporal_downsample),
        shortcut=ClipSite(model.shortcut_downsample, model.shortcut_temporal_downsample),
        head=_head(model, num_classes, style),
        style=style,
    )


_READS = frozenset({"features", "depths", "downsample", "temporal_downsample"})
_CLIP = (16, 112, 112, 3)


def _add_plain() -> None:
    light = {"features": (32, 64, 128), "depths": (1, 1, 1), "head": "avg"}
    c3d = {
        "features": (64, 128, 256, 512, 512),
        "depths": (1, 1, 2, 2, 2),
        "head": "flatten(hidden=(4096, 4096))",
        "norm": "none",
    }
    tran = "Tran et al., ICCV 2015"
    for name, form, published, shape, about in (
        ("c3d", "full", c3d, _CLIP, f"3x3x3 convolutions, max pooling; {tran}; dropout there 0.5"),
        ("plain3d", "full", light, (8, 32, 32, 1), f"after C3D, {tran}: with norms, few stages"),
        ("plain2plus1d", "factorised", light, (8, 32, 32, 1), "plain3d of 1x3x3 and 3x1x1 pairs"),
        ("plain3d_depthwise", "depthwise", light, (8, 32, 32, 1), "plain3d, depthwise-separable"),
    ):
        operators = {"downsample": "max", "temporal_downsample": "max"}
        network = Network(
            build=partial(_build_plain, form=form),
            about=about,
            published=operators | published,
            reads=_READS,
            input_shape=shape,
            clips=True,
        )
        MODELS.add(name, network)


def _add_resnets() -> None:
    published = {
        "features": (64, 128, 256, 512),
        "depths": (2, 2, 2, 2),
        "stem": "imagenet",
        "stem_downsample": "none",
        "downsample": "strided_conv",
        "temporal_downsample": "strided_conv",
        "shortcut_downsample": "subsample",
        "shortcut_temporal_downsample": "subsample",
        "head": "avg",
    }
    tran = "Tran et al., CVPR 2018"
    for name, form, about in (
        ("r3d_18", "full", f"3x3x3 convolutions; {tran}"),
        ("r2plus1d_18", "factorised", f"1x3x3 and 3x1x1 convolutions; {tran}"),
        ("mc3_18", "spatial", f"3x3x3, then 1x3x3 after the first stage; {tran}"),
    ):
        time = {"temporal_downsample", "shortcut_temporal_downsample"}
        kept = time if form == "spatial" else set()
        network = Network(
            build=partial(_build_resnet, form=form),
            about=about,
            published={k: v for k, v in published.items() if k not in kept},
            reads=(_READS | set(published)) - {"head"} - kept,
            stems=("cifar", "imagenet"),
            input_shape=_CLIP,
            clips=True,
        )
        MODELS.add(name, network)


_add_plain()
_add_resnets()
