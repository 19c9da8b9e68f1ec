"""Counts against published numbers, against XLA's own where it is right, and against parameters."""

from dataclasses import replace
from io import StringIO

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

from cnn import models
from cnn.cost import count, macs, network_cost
from cnn.cost.table import cost_table
from cnn.layers import DOWNSAMPLERS, HEADS, Downsample, Style
from cnn.layers.work import Site
from configs import base


def config_of(name, **fields):
    model = base.get_config().model
    with model.unlocked():
        model.update({"name": name, **fields})
    return model


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("resnet20", {}, 40_551_040),
        ("resnet20", {"shortcut": "projection"}, 40_813_184),
        ("resnet56", {"shortcut": "projection"}, 125_747_840),
        ("resnet50", {}, 4_089_184_256),  # v1.5, which the published 4.09 G is of
        ("resnet50_v1", {}, 3_857_973_248),  # the paper's: "3.8 billion"
        ("vgg16", {}, 15_470_264_320),
        ("mobilenet_v2", {}, 300_774_272),
    ],
)
def test_published_networks(name, fields, expected):
    shape = models.MODELS[name].input_shape
    assert macs(config_of(name, **fields), shape, 10 if shape[0] == 32 else 1000) == expected


@pytest.mark.parametrize("name", ["se_resnet18", "convnext_t", "airbench", "wrn16_4", "lenet5"])
def test_every_parameter_belongs_to_one_layer(name):
    shape = models.MODELS[name].input_shape
    model = models.build(config_of(name), 10)
    tree = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, *shape)), False)["params"]
    )
    cost = count(model, shape)
    assert cost.parameters == sum(leaf.size for leaf in jax.tree.leaves(tree))
    assert cost.by_module().macs == cost.macs
    assert len(cost.by_module().layers) < len(cost.layers)


def test_a_head_whose_maps_are_no_layers():
    cost = network_cost(config_of("plain", features=(4, 8), head="attention"), (8, 8, 3), 5)
    convs = 64 * 9 * 3 * 4 + 16 * 9 * 4 * 8
    tokens, channels = 2 * 2 + 1, 8
    head = (2 * tokens + 2) * channels**2 + 2 * tokens * channels
    assert cost.macs == convs + head + 8 * 5


def test_dilation_keeps_the_resolution_and_pays_for_it():
    shape = (32, 32, 3)
    strided = network_cost(config_of("resnet20"), shape, 10)
    fields = {"downsample": "dilated", "shortcut_downsample": "none"}
    dilated = network_cost(config_of("resnet20", **fields), shape, 10)
    assert dilated.parameters == strided.parameters
    assert dilated.layers[-1].output == strided.layers[-1].output
    last = [
        next(m.macs for m in cost.by_module().layers if m.name == "stage3_block3")
        for cost in (strided, dilated)
    ]
    assert last[1] == 16 * last[0]


@pytest.mark.parametrize("spatial", [(16,), (16, 16), (8, 8, 8)])
@pytest.mark.parametrize("operator", sorted(DOWNSAMPLERS))
def test_every_operator_counts_at_every_number_of_axes(operator, spatial):
    entry = DOWNSAMPLERS[operator]
    if len(spatial) not in entry.ndims or entry.on_conv:
        return
    model = Downsample(operator, 2, Style())
    cost = count(_Called(model), (*spatial, 4))
    after = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, *spatial, 4)), False)
    )
    learned = sum(x.size for x in jax.tree.leaves(after.get("params", {})))
    assert cost.parameters == learned
    work = cost.macs + cost.total("operations")
    assert (work > 0) == (operator not in ("subsample", "none", "dilated"))


class _Called:
    """Lets `count` initialise an operator alone."""

    def __init__(self, layer):
        self.layer = layer

    def init(self, rngs, x, train):
        return {"params": {}} | self.layer.init(rngs, x, train)


def test_filters_count_as_the_depthwise_convolutions_they_are():
    site = Site((8, 8, 3), (4, 4, 3), {"taps": 4, "window": 2, "levels": 1})
    assert DOWNSAMPLERS["blur"].cost(site).macs == 16 * 4 * 4 * 3
    assert DOWNSAMPLERS["max_blur"].cost(site).macs == 16 * 4 * 4 * 3
    assert DOWNSAMPLERS["max_blur"].cost(site).operations == 4 * 8 * 8 * 3
    assert DOWNSAMPLERS["tree"].cost(site).macs == 3 * 4 * 4 * 4 * 3
    haar = Site((8, 8, 3), (4, 4, 3), {"wavelet": "haar"})
    # Rows first, 2 taps for 4 x 8 outputs; then columns, 2 taps for 4 x 4.
    assert DOWNSAMPLERS["wavelet"].cost(haar).macs == 2 * (4 * 8 + 4 * 4) * 3


def test_blur_before_a_strided_convolution_is_counted():
    plain = config_of("plain", features=(4, 8), downsample="strided_conv")
    blurred = config_of("plain", features=(4, 8), downsample="blur_conv(taps=3)")
    added = macs(blurred, (8, 8, 3), 5) - macs(plain, (8, 8, 3), 5)
    assert added == 9 * (8 * 8 * 3 + 4 * 4 * 4)


def test_every_operator_and_head_has_a_cost():
    assert all(entry.cost for registry in (DOWNSAMPLERS, HEADS) for entry in registry.values())


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        # Multiply-accumulates as torchvision's documentation states them.
        ("resnext50_32x4d", 4.23),
        ("resnext101_64x4d", 15.46),
        ("wide_resnet50_2", 11.398),
        ("densenet121", 2.834),
        ("densenet161", 7.728),
    ],
)
def test_macs_are_those_of_the_popular_port(name, billions):
    found = macs(config_of(name), (224, 224, 3), 1000) / 1e9
    assert found == pytest.approx(billions, abs=0.006)


class _Foreign(nn.Module):
    """A network of stock layers, and optionally of one whose cost nobody knows."""

    unknown: bool

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(8, (3, 3), name="conv")(x)
        x = nn.Conv(8, (3, 3), strides=2, feature_group_count=8, name="depthwise")(x)
        if self.unknown:
            x = nn.ConvTranspose(4, (2, 2), name="up")(x)
        return nn.Dense(10, name="dense")(nn.LayerNorm()(x).mean((1, 2)))


def test_stock_convolutions_count_and_unknown_modules_with_weights_are_unknown():
    cost = count(_Foreign(False), (28, 28, 1))
    macs = {layer.name: layer.macs for layer in cost.layers}
    assert macs["conv"] == 28 * 28 * 8 * 9
    assert macs["depthwise"] == 14 * 14 * 8 * 9
    assert cost.macs == macs["conv"] + macs["depthwise"] + 8 * 10
    assert count(_Foreign(True), (28, 28, 1)).macs is None


def test_an_unknown_cost_is_not_available(monkeypatch):
    entry = replace(DOWNSAMPLERS["max"], cost=None)
    monkeypatch.setitem(DOWNSAMPLERS._entries, "uncounted", entry)
    model = config_of("plain", features=(4, 8), downsample="uncounted")
    cost = network_cost(model, (8, 8, 3), 5)
    known = network_cost(config_of("plain", features=(4, 8)), (8, 8, 3), 5)
    assert cost.macs is cost.total("operations") is cost.by_module().macs is None
    assert cost.parameters == known.parameters
    console = Console(file=StringIO(), width=140)
    console.print(cost_table("a network", cost))
    assert "n/a" in console.file.getvalue()
