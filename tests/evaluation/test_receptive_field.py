"""Receptive fields against published results, and against the support of true gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from cnn.config.errors import UserError
from cnn.evaluation.receptive_field.theoretical import fields_of_axes, receptive_fields
from cnn.layers import Conv, ConvBlock, Downsample, Style
from configs import base


def network(name, **fields):
    model = base.get_config().model
    with model.unlocked():
        model.update({"name": name, **fields})
    return models.build(model, 10)


def results(field):
    return field.size, field.stride, field.padding


def last(model, shape=(224, 224, 3)):
    return receptive_fields(model, shape)[-1]


# Araujo, Norris & Sim, Distill 2019, and google-research/receptive_field: size, effective stride
# and effective padding at the last feature map.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vgg16", (212, 32, 90)),
        ("mobilenet_v1", (315, 32, 126)),
        # There the padding is 239: see the next test for its stem.
        ("resnet50_v1", (483, 32, 238)),
    ],
)
def test_published_networks(name, expected):
    field = last(network(name))
    assert results(field) == expected
    assert field.centre == (field.size - 1) / 2 - field.padding
    assert field.misaligned == 0


class SlimStem(nn.Module):
    """As TF-Slim has it: the convolution padded on both sides, the maximum as SAME."""

    style: Style

    @nn.compact
    def __call__(self, x, train):
        x = ConvBlock(64, 7, self.style, strides=2, padding=((3, 3), (3, 3)))(x, train)
        return Downsample("max(window=3)", 2, Style(padding="SAME"))(x, train)[0]


@pytest.mark.parametrize(("name", "size", "padding"), [("resnet50_v1", 483, 239)])
def test_slim_s_residual_networks(name, size, padding):
    model = network(name, padding="torch")
    assert results(last(model.clone(stem=SlimStem(model.style)))) == (size, 32, padding)


def test_a_field_larger_than_the_image():
    field = last(network("resnet101_v1"))
    assert (field.size, field.stride) == (1027, 32)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        # 1 + 2 per 3x3 convolution times the strides before it: at depth one, of the stem and the
        # first stage 6, then 2 + 4 and 4 + 8 (the strides are the first convolution's own).
        ("resnet20", 1 + 6 + (2 + 4) + (4 + 8)),
        ("resnet18", 1 + 6 + (2 + 4) + (4 + 8) + (8 + 16)),
        ("resnet50_v1", 1 + 4 + 4 + 8 + 16),
        ("preact_resnet18", 1 + 6 + (2 + 4) + (4 + 8) + (8 + 16)),
    ],
)
def test_dilation_keeps_the_field_of_the_strided_network(name, size):
    depths = (1,) * len(models.MODELS[name].published["depths"])
    fields = {"stem": "cifar", "depths": depths}
    strided = last(network(name, **fields), (64, 64, 3))
    fields |= {"downsample": "dilated", "shortcut_downsample": "none"}
    dilated = last(network(name, **fields), (64, 64, 3))
    assert (strided.size, dilated.size, dilated.stride) == (size, size, 1)


class AlexNetV2(nn.Module):
    """The convolutions of TF-Slim's alexnet_v2."""

    @nn.compact
    def __call__(self, x, train):
        style = Style(padding="VALID")
        same = dict(style=style, padding="SAME")
        pool = dict(operator="max(window=3)", strides=2, style=style)
        x = Conv(4, 11, style, strides=4)(x)
        x, _ = Downsample(**pool)(x, train)
        x = Conv(4, 5, **same)(x)
        x, _ = Downsample(**pool)(x, train)
        for _ in range(3):
            x = Conv(4, 3, **same)(x)
        return Downsample(**pool)(x, train)[0]


def test_alexnet_v2():
    assert results(last(AlexNetV2())) == (195, 32, 64)


def test_where_a_bottleneck_strides_decides_whether_its_paths_look_at_one_place():
    # SAME pads an even size behind only, so a strided 3x3 is centred one pixel after a strided 1x1.
    fields = {f.layer: f for f in receptive_fields(network("resnet20"), (32, 32, 3))}
    assert fields["stage1_block3"].misaligned == 0
    assert fields["stage2_block1"].misaligned == 1
    assert fields["stage3_block1"].misaligned == 3
    torch = receptive_fields(network("resnet20", padding="torch"), (32, 32, 3))
    assert {f.misaligned for f in torch} == {0}


def test_what_looks_at_the_whole_image_says_so():
    fields = {f.layer: f for f in receptive_fields(network("se_resnet18"), (64, 64, 3))}
    assert fields["stage1_block1/conv1/block/conv"].size == 19
    assert fields["stage1_block1"].whole
    assert fields["stage1_block1"].size is None


class Chain(nn.Module):
    """A smooth function of every pixel that its windows see."""

    operator: str
    style: Style

    @nn.compact
    def __call__(self, x, train):
        x = jax.nn.softplus(Conv(4, 3, self.style)(x))
        x, _ = Downsample(self.operator, 2, self.style, name="operator")(x, train)
        return Conv(4, 3, self.style, strides=2, name="last")(x)


OPERATORS = (
    "avg(window=3)",
    "subsample",
    "blur",
    "soft",
    "space_to_depth",
    "ddac",
    "tree",
    "spectral",
)


@pytest.mark.parametrize("operator", OPERATORS)
def test_it_is_where_the_gradient_is_not_zero(operator):
    style, shape = Style(padding="torch" if operator == "blur" else "SAME"), (1, 64, 3)
    model = Chain(operator, style)
    field = receptive_fields(model, shape[1:])[-1]

    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros(shape), False))
    draw = np.random.default_rng(0)
    # Above zero, as a running variance is.
    variables = jax.tree.map(lambda p: draw.uniform(0.1, 1, p.shape).astype(np.float32), shapes)

    @jax.jit
    def gradient(variables, x):
        return jax.grad(lambda x: jnp.abs(model.apply(variables, x, False)[0, 8]).sum())(x)

    x = draw.uniform(0.5, 1.5, shape).astype(np.float32)
    seen = np.flatnonzero(np.abs(gradient(variables, x)).sum((0, 2)))
    if operator == "spectral":
        assert field.whole
        assert len(seen) == 64
    else:
        first = 8 * field.stride - field.padding
        assert (seen[0], seen[-1]) == (first, first + field.size - 1)


def test_axes_of_a_volume_each_have_their_own():
    style = Style()

    class Slabs(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return Conv(2, (5, 3, 3), style, strides=(2, 1, 1))(x)

    fields = fields_of_axes(Slabs(), (16, 8, 8, 2))
    # SAME, strides 2, an even size: one before and two behind.
    assert {names: results(found[-1]) for names, found in fields.items()} == {
        "depth": (5, 2, 1),
        "height and width": (3, 1, 1),
    }


def test_there_is_no_such_axis():
    with pytest.raises(UserError, match="2 spatial axes"):
        receptive_fields(network("plain"), (28, 28, 1), axis=2)
