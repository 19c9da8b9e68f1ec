"""The sites of our families of networks, for layouts that differ in a few names only."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from cnn.foreign.layouts.layout import NamePair
from cnn.foreign.tensor_form import Shape, TensorForm, conv_of_linear, linear_of_1x1, same
from cnn.models.convnext import ConvNeXt
from cnn.models.densenet import DenseNet
from cnn.models.mobilenet import MobileNet
from cnn.models.plain import Plain
from cnn.models.resnet import ResNet

Names = Iterable[tuple[str, str]]


def blocks_of(network: ResNet | MobileNet | ConvNeXt | DenseNet) -> Iterator[tuple[int, int, str]]:
    """Yields (stage from 0, block from 0, our path) of each block."""
    for stage, depth in enumerate(network.depths):
        for block in range(depth):
            yield stage, block, f"stage{stage + 1}_block{block + 1}"


def conv_and_norm(ours: str, conv: str, norm: str) -> Iterator[NamePair]:
    """Yields the two sites of a `ConvBlock`."""
    yield NamePair(f"{ours}/conv", conv)
    yield NamePair(f"{ours}/norm", norm)


def resnet(
    network: ResNet,
    *,
    stem: Names = (("conv1", "bn1"),),
    shortcut: tuple[str, str] = ("downsample.0", "downsample.1"),
    classifier: str = "fc",
) -> Iterator[NamePair]:
    """Yields the sites of a residual network as torchvision's is named.

    Args:
      network: post-activated.
      stem: names of its convolutions and norms.
      shortcut: names of a projection and its norm, in a block.
      classifier: name of the linear layer.
    """
    for i, (conv, norm) in enumerate(stem, 1):
        yield from conv_and_norm(f"stem/conv{i}", conv, norm)
    for stage, block, ours in blocks_of(network):
        theirs = f"layer{stage + 1}.{block}"
        for i in range(1, len(network.form.windows) + 1):
            yield from conv_and_norm(f"{ours}/conv{i}", f"{theirs}.conv{i}", f"{theirs}.bn{i}")
        yield from conv_and_norm(
            f"{ours}/shortcut/projection", *(f"{theirs}.{name}" for name in shortcut)
        )
        yield NamePair(f"{ours}/squeeze_excite/squeeze", f"{theirs}.se.fc1")
        yield NamePair(f"{ours}/squeeze_excite/excite", f"{theirs}.se.fc2")
    yield NamePair("head/classifier", classifier)


def vgg(
    network: Plain, *, hidden: Iterable[str], classifier: str, kernels: bool = False
) -> Iterator[NamePair]:
    """Yields the sites of a VGG whose layers are numbered in one list, `features`.

    Args:
      network: the network; its classifier comes after a map of 7x7, or of one position.
      hidden: names of the hidden layers.
      classifier: name of the last layer.
      kernels: hidden layers are convolutions there.
    """
    place = 0
    for ours, block, _ in network.named_blocks():
        yield NamePair(f"{ours}/conv", f"features.{place}")
        normed = network.style.norm == "batch"
        if normed:
            yield NamePair(f"{ours}/norm", f"features.{place + 1}")
        place += 2 + normed + block.reduces
    grid = 7 if "grid=7" in network.head.pooling else 1
    for i, name in enumerate(hidden, 1):
        form = partial(conv_of_linear, grid=grid if i == 1 else 1, flat=not kernels)
        yield NamePair(f"head/hidden{i}", name, form)
    yield NamePair("head/classifier", classifier)


def convnext(
    network: ConvNeXt,
    *,
    stem: tuple[str, str],
    block: Callable[[int, int], str],
    parts: tuple[str, str, str, str, str],
    reduction: Callable[[int], str],
    head: tuple[str, str],
    scale_form: Callable[[Shape], TensorForm] = same,
) -> Iterator[NamePair]:
    """Yields the sites of a ConvNeXt.

    Args:
      network: the network.
      stem: names of convolution and norm.
      block: (stage, block) from 0 -> what the names of a block's parts begin with.
      parts: names of a block's depthwise convolution, norm, two linear maps and scale.
      reduction: (stage) from 1 -> likewise, of norm 0 and convolution 1.
      head: names of norm and classifier.
      scale_form: of a block's scale.
    """
    yield NamePair("stem", stem[0])
    yield NamePair("stem_norm", stem[1])
    for stage, number, ours in blocks_of(network):
        start = block(stage, number)
        depthwise, norm, expand, project, scale = (f"{start}{part}" for part in parts)
        yield NamePair(f"{ours}/depthwise", depthwise)
        yield NamePair(f"{ours}/norm", norm)
        yield NamePair(f"{ours}/expand", expand, linear_of_1x1)
        yield NamePair(f"{ours}/project", project, linear_of_1x1)
        yield NamePair(f"{ours}/scale", scale, scale_form)
    for stage in range(1, len(network.depths)):
        yield NamePair(f"stage{stage + 1}_reduction/norm", f"{reduction(stage)}0")
        yield NamePair(f"stage{stage + 1}_reduction/conv", f"{reduction(stage)}1")
    yield NamePair("head/norm", head[0])
    yield NamePair("head/classifier", head[1])


def densenet(network: DenseNet) -> Iterator[NamePair]:
    """Yields the sites of a DenseNet as torchvision names it."""
    yield from conv_and_norm("stem/conv1", "features.conv0", "features.norm0")
    for stage, block, ours in blocks_of(network):
        theirs = f"features.denseblock{stage + 1}.denselayer{block + 1}"
        for i in (1, 2):
            yield from conv_and_norm(f"{ours}/conv{i}", f"{theirs}.conv{i}", f"{theirs}.norm{i}")
    for stage in range(1, len(network.depths)):
        theirs = f"features.transition{stage}"
        yield from conv_and_norm(f"stage{stage + 1}_transition", f"{theirs}.conv", f"{theirs}.norm")
    yield NamePair("norm", "features.norm5")
    yield NamePair("head/classifier", "classifier")
