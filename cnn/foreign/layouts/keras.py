"""keras.applications, as Keras 2 and 3 save them."""

from collections.abc import Iterator
from functools import partial

from cnn.foreign.layouts.families import blocks_of
from cnn.foreign.layouts.layout import IMAGENET, KERAS, LAYOUTS, Counterpart, Layout, NamePair
from cnn.foreign.layouts.torchvision import GELU
from cnn.foreign.tensor_form import Shape, TensorForm, depthwise_keras
from cnn.models.convnext import ConvNeXt
from cnn.models.densenet import DenseNet
from cnn.models.mobilenet import MobileNet
from cnn.models.plain import Plain
from cnn.models.resnet import ResNet

# Their images are BGR, ours RGB.
_BGR = (2, 1, 0)
_TORCH_PADDED = {"model.padding": "torch", "model.norm_momentum": 0.99}
# Minus the mean colour, at the scale of 0 to 255.
_CAFFE = {
    "data.mean": tuple(m / 255 for m in (123.68, 116.779, 103.939)),
    "data.std": (1 / 255,) * 3,
}
# From -1 to 1.
_HALVES = {"data.mean": (0.5, 0.5, 0.5), "data.std": (0.5, 0.5, 0.5)}


def _resnet(network: ResNet) -> Iterator[NamePair]:
    yield NamePair("stem/conv1/conv", "conv1_conv", inputs=_BGR)
    yield NamePair("stem/conv1/norm", "conv1_bn", bias_of="conv1_conv")
    for stage, block, ours in blocks_of(network):
        theirs = f"conv{stage + 2}_block{block + 1}"
        numbered = [(i, f"{ours}/conv{i}") for i in range(1, len(network.form.windows) + 1)]
        for i, place in [(0, f"{ours}/shortcut/projection"), *numbered]:
            yield NamePair(f"{place}/conv", f"{theirs}_{i}_conv")
            yield NamePair(f"{place}/norm", f"{theirs}_{i}_bn", bias_of=f"{theirs}_{i}_conv")
    yield NamePair("head/classifier", "predictions")


def _densenet(network: DenseNet) -> Iterator[NamePair]:
    yield NamePair("stem/conv1/conv", "conv1_conv")
    yield NamePair("stem/conv1/norm", "conv1_bn")
    for stage, block, ours in blocks_of(network):
        theirs = f"conv{stage + 2}_block{block + 1}"
        for i in (1, 2):
            yield NamePair(f"{ours}/conv{i}/norm", f"{theirs}_{i - 1}_bn")
            yield NamePair(f"{ours}/conv{i}/conv", f"{theirs}_{i}_conv")
    for stage in range(2, len(network.depths) + 1):
        yield NamePair(f"stage{stage}_transition/norm", f"pool{stage}_bn")
        yield NamePair(f"stage{stage}_transition/conv", f"pool{stage}_conv")
    yield NamePair("norm", "bn")
    yield NamePair("head/classifier", "predictions")


def _vgg(network: Plain) -> Iterator[NamePair]:
    stage, number = 1, 0
    for ours, block, _ in network.named_blocks():
        number += 1
        inputs = _BGR if (stage, number) == (1, 1) else ()
        yield NamePair(f"{ours}/conv", f"block{stage}_conv{number}", inputs=inputs)
        if block.reduces:
            stage, number = stage + 1, 0
    yield NamePair("head/hidden1", "fc1")
    yield NamePair("head/hidden2", "fc2")
    yield NamePair("head/classifier", "predictions")


def _mobilenet_v1(network: MobileNet) -> Iterator[NamePair]:
    yield NamePair("stem/conv", "conv1")
    yield NamePair("stem/norm", "conv1_bn")
    for number, (_, _, ours) in enumerate(blocks_of(network), 1):
        yield NamePair(f"{ours}/depthwise/conv", f"conv_dw_{number}", depthwise_keras)
        yield NamePair(f"{ours}/depthwise/norm", f"conv_dw_{number}_bn")
        yield NamePair(f"{ours}/pointwise/conv", f"conv_pw_{number}")
        yield NamePair(f"{ours}/pointwise/norm", f"conv_pw_{number}_bn")
    yield NamePair("head/classifier", "conv_preds", _as_1x1)


def _as_1x1(shape: Shape) -> TensorForm:
    theirs = (1, 1, *shape)
    return TensorForm(theirs, theirs, (0, 1, 2, 3), shape)


def _mobilenet_v2(network: MobileNet) -> Iterator[NamePair]:
    yield NamePair("stem/conv", "Conv1")
    yield NamePair("stem/norm", "bn_Conv1")
    for number, (_, _, ours) in enumerate(blocks_of(network)):
        theirs = f"block_{number}" if number else "expanded_conv"
        parts = (
            ("expand", "expand", None),
            ("separable/depthwise", "depthwise", depthwise_keras),
            ("separable/pointwise", "project", None),
        )
        for path, name, form in parts:
            yield NamePair(f"{ours}/{path}/conv", f"{theirs}_{name}", form)
            yield NamePair(f"{ours}/{path}/norm", f"{theirs}_{name}_BN")
    yield NamePair("last/conv", "Conv_1")
    yield NamePair("last/norm", "Conv_1_bn")
    yield NamePair("head/classifier", "predictions")


def _linear(shape: Shape) -> TensorForm:
    return TensorForm(shape[2:], shape, (0, 1, 2, 3), shape)


def _convnext(network: ConvNeXt, root: str) -> Iterator[NamePair]:
    yield NamePair("stem", f"{root}_stem_conv")
    yield NamePair("stem_norm", f"{root}_stem_layernorm")
    for stage, block, ours in blocks_of(network):
        theirs = f"{root}_stage_{stage}_block_{block}"
        yield NamePair(f"{ours}/depthwise", f"{theirs}_depthwise_conv")
        yield NamePair(f"{ours}/norm", f"{theirs}_layernorm")
        yield NamePair(f"{ours}/expand", f"{theirs}_pointwise_conv_1", _linear)
        yield NamePair(f"{ours}/project", f"{theirs}_pointwise_conv_2", _linear)
        yield NamePair(f"{ours}/scale", f"{theirs}_layer_scale/gamma")
    for stage in range(1, len(network.depths)):
        theirs = f"{root}_downsampling_"
        yield NamePair(f"stage{stage + 1}_reduction/norm", f"{theirs}layernorm_{stage - 1}")
        yield NamePair(f"stage{stage + 1}_reduction/conv", f"{theirs}conv_{stage - 1}")
    yield NamePair("head/norm", f"{root}_head_layernorm")
    yield NamePair("head/classifier", f"{root}_head_dense")


_RESNET = IMAGENET | _CAFFE | _TORCH_PADDED | {"model.norm_epsilon": 1.001e-5}
_DENSENET = IMAGENET | _TORCH_PADDED | {"model.norm_epsilon": 1.001e-5}
_VGG = IMAGENET | _CAFFE | _TORCH_PADDED
_MOBILENET = IMAGENET | _HALVES | {"model.padding": "SAME", "model.norm_epsilon": 1e-3}
_CROP = (
    "Keras states a centre crop and not the resize before it; set is that of torchvision, 256 and "
    "bilinear: --config.data.crop_ratio and --config.data.interpolation change it"
)
_EVEN = (
    "Keras pads the strided convolutions of MobileNet at the end only, so logits are equal where "
    "every map is even, as at 224 pixels, and not elsewhere"
)


def _networks() -> Iterator[tuple[str, Counterpart]]:
    for depth in (50, 101, 152):
        yield f"resnet{depth}_v1", Counterpart(f"ResNet{depth}", _resnet, _RESNET, (_CROP,))
    for depth in (121, 169, 201):
        yield f"densenet{depth}", Counterpart(f"DenseNet{depth}", _densenet, _DENSENET, (_CROP,))
    for depth in (16, 19):
        yield f"vgg{depth}", Counterpart(f"VGG{depth}", _vgg, _VGG, (_CROP,))
    fields = _MOBILENET | {"model.norm_momentum": 0.99}
    yield "mobilenet_v1", Counterpart("MobileNet", _mobilenet_v1, fields, (_CROP, _EVEN))
    fields = _MOBILENET | {"model.norm_momentum": 0.999}
    yield "mobilenet_v2", Counterpart("MobileNetV2", _mobilenet_v2, fields, (_CROP,))
    fields = IMAGENET | {"model.padding": "torch"} | GELU
    for size in ("tiny", "small"):
        sites = partial(_convnext, root=f"convnext_{size}")
        yield f"convnext_{size[0]}", Counterpart(f"ConvNeXt{size.title()}", sites, fields, (_CROP,))


LAYOUTS.add(
    "keras",
    Layout(
        about="keras.applications, of Keras 2 and 3",
        dialect=KERAS,
        networks=dict(_networks()),
        unused=("seed_generator_state",),
    ),
)
