"""Blocks against their formulas."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.layers import (
    Conv,
    ConvBlock,
    ConvNeXtBlock,
    InvertedForm,
    InvertedResidual,
    ResidualBlock,
    SeparableConvBlock,
    Sites,
    SqueezeExcite,
    StochasticDepth,
    Style,
    linear_rates,
)
from cnn.layers.convnext import GlobalResponseNorm
from cnn.layers.residual import BASIC, BOTTLENECK, BOTTLENECK_V1
from tests.layers.cases import KEYS, image, quick

SITES = Sites("strided_conv", "subsample", "projection")


def shapes(layer, *shape):
    """Returns the output's shape and the shapes of the parameters, by path."""
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    y, variables = jax.eval_shape(lambda x: layer.init_with_output(KEYS, x, True), x)
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    return y.shape, {"/".join(k.key for k in path): leaf.shape for path, leaf in leaves}


@pytest.mark.parametrize("order", ["conv norm act", "conv act norm", "norm act conv"])
def test_a_conv_block_keeps_its_order(order):
    block = ConvBlock(4, 3, Style(norm="instance"), order=order)
    x = image(2, 5, 5, 4)
    y, variables = quick(lambda x: block.init_with_output(KEYS, x, False))(x)
    style, params = Style(norm="instance"), variables["params"]
    steps = {
        "conv": lambda x: Conv(4, 3, style).apply({"params": params["conv"]}, x),
        "norm": lambda x: (
            (x - x.mean((1, 2), keepdims=True)) / jnp.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
        ),
        "act": jax.nn.relu,
    }
    for step in order.split():
        x = steps[step](x)
    np.testing.assert_allclose(y, x, atol=1e-5)


def test_an_unknown_order_is_refused():
    with pytest.raises(UserError, match="order: unknown 'act conv'; allowed: conv norm act, "):
        shapes(ConvBlock(4, 3, Style(), order="act conv"), 1, 4, 4, 3)


def test_a_convolution_has_a_bias_where_there_is_no_norm():
    assert "conv/bias" not in shapes(ConvBlock(4, 3, Style()), 1, 4, 4, 3)[1]
    assert "conv/bias" in shapes(ConvBlock(4, 3, Style(norm="none")), 1, 4, 4, 3)[1]
    assert "conv/bias" in shapes(ConvBlock(4, 3, Style(), use_bias=True), 1, 4, 4, 3)[1]


def test_grouped_and_depthwise_convolution_are_dense_ones_with_zeros():
    x = image(2, 5, 5, 6)

    @quick
    def run(x):
        pairs = []
        for groups in (2, 6):
            layer = Conv(6, 3, Style(), groups=groups)
            kernel = layer.init(KEYS, x)["params"]["kernel"]
            size = 6 // groups
            dense = jnp.zeros((3, 3, 6, 6))
            for g in range(groups):
                part = slice(g * size, (g + 1) * size)
                dense = dense.at[:, :, part, part].set(kernel[..., part])
            full = Conv(6, 3, Style()).apply({"params": {"kernel": dense}}, x)
            pairs.append((layer.apply({"params": {"kernel": kernel}}, x), full))
        return pairs

    for grouped, dense in run(x):
        np.testing.assert_allclose(grouped, dense, atol=1e-5)


def test_kernels_start_he_normal_with_the_fan_out():
    kernel = Conv(64, 3, Style()).init(KEYS, jnp.zeros((1, 4, 4, 16)))["params"]["kernel"]
    np.testing.assert_allclose(np.std(kernel), np.sqrt(2 / (9 * 64)), rtol=0.03)


def test_where_a_bottleneck_strides():
    def strided(form):
        block = ResidualBlock(4, form, SITES, Style(), strides=2)
        x = jax.ShapeDtypeStruct((1, 8, 8, 6), jnp.float32)
        jaxpr = jax.make_jaxpr(lambda x: block.init_with_output(KEYS, x, True)[0])(x)
        found = str(jaxpr).split("conv_general_dilated")[1:]
        return ["window_strides=(2, 2)" in line for line in found]

    # The two or three convolutions of the branch; the shortcut comes last, subsampled before.
    assert strided(BASIC) == [True, False, False]
    assert strided(BOTTLENECK_V1) == [True, False, False, False]
    assert strided(BOTTLENECK) == [False, True, False, False]


@pytest.mark.parametrize("preactivated", [False, True])
def test_a_block_without_reduction_keeps_its_input_on_the_way_around(preactivated):
    form = replace(BASIC, preactivated=preactivated)
    y, params = shapes(ResidualBlock(6, form, SITES, Style()), 1, 4, 4, 6)
    assert y == (1, 4, 4, 6)
    assert not any("shortcut" in name for name in params)


def test_zero_scale_makes_a_block_the_activation_of_its_input():
    block = ResidualBlock(3, BASIC, SITES, Style(zero_scale=True))
    x = image(2, 4, 4, 3)
    y, _ = quick(lambda x: block.init_with_output(KEYS, x, False))(x)
    np.testing.assert_allclose(y, jax.nn.relu(x), atol=1e-6)


def test_zero_channels_widen_option_a():
    sites = Sites("strided_conv", "subsample", "pad")
    block = ResidualBlock(5, BASIC, sites, Style(zero_scale=True), strides=2)
    x = jax.nn.relu(image(2, 4, 4, 3))
    y, _ = quick(lambda x: block.init_with_output(KEYS, x, False))(x)
    np.testing.assert_allclose(y[..., :3], x[:, ::2, ::2], atol=1e-6)
    np.testing.assert_array_equal(y[..., 3:], 0)


def test_branch_and_shortcut_have_to_agree():
    block = ResidualBlock(4, BASIC, Sites("none", "subsample", "pad"), Style(), 2, name="block")
    with pytest.raises(
        UserError, match=r"into \(8, 8\) by model.downsample=none, the shortcut into"
    ):
        shapes(block, 1, 8, 8, 4)


def test_squeeze_and_excitation():
    layer = SqueezeExcite(Style(), width=2)
    x = image(2, 3, 3, 4)
    y, variables = quick(lambda x: layer.init_with_output(KEYS, x))(x)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), variables["params"])
    hidden = np.maximum(np.asarray(x).mean((1, 2)) @ p["squeeze"]["kernel"][0, 0], 0)
    gate = 1 / (1 + np.exp(-hidden @ p["excite"]["kernel"][0, 0]))
    np.testing.assert_allclose(y, np.asarray(x) * gate[:, None, None], rtol=1e-5, atol=1e-6)


def test_global_response_normalisation():
    layer, x = GlobalResponseNorm(), np.array(image(2, 3, 3, 4), np.float64)
    x[..., 2] = 0
    params = {"scale": np.array([1.0, -2.0, 3.0, 0.5]), "bias": np.array([0.0, 1.0, 2.0, 3.0])}

    def run(x):
        y, back = jax.vjp(lambda x: layer.apply({"params": params}, x), x)
        return y, back(jnp.ones_like(y))[0]

    y, gradient = quick(run)(jnp.float32(x))
    length = np.sqrt((x**2).sum((1, 2), keepdims=True))
    wanted = params["scale"] * x * length / (length.mean(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(y, wanted + params["bias"] + x, rtol=1e-4, atol=1e-5)
    # A channel that is off has a gradient.
    assert np.isfinite(gradient).all()


def test_a_form_says_what_an_inverted_block_is_made_of():
    def kernels(**form):
        block = InvertedResidual(8, Style(), InvertedForm(**form))
        made = shapes(block, 1, 4, 4, 8)[1]
        return {path.removesuffix("/kernel"): s for path, s in made.items() if "kernel" in path}

    plain = kernels(expansion=4, window=5)
    assert plain == {
        "expand/conv": (1, 1, 8, 32),
        "separable/depthwise/block/conv": (5, 5, 1, 32),
        "separable/pointwise/conv": (1, 1, 32, 8),
    }
    inner = {"squeeze": "separable/squeeze_excite/squeeze"}
    assert kernels(expansion=4, squeeze="input")[inner["squeeze"]] == (1, 1, 32, 2)
    assert kernels(expansion=4, squeeze="middle")[inner["squeeze"]] == (1, 1, 32, 8)
    assert kernels(expansion=4, fused=True) == {
        "expand/block/conv": (3, 3, 8, 32),
        "project/conv": (1, 1, 32, 8),
    }
    assert kernels(expansion=1, fused=True) == {"expand/block/conv": (3, 3, 8, 8)}


def test_stochastic_depth_drops_whole_examples_and_keeps_the_mean():
    x = jnp.ones((2000, 2, 2))
    layer = StochasticDepth(0.25)
    y = np.asarray(layer.apply({}, x, True, rngs={"dropout": jax.random.key(0)}))
    per_example = y.reshape(2000, -1)
    assert set(np.unique(per_example)) == {0.0, np.float32(1 / 0.75)}
    assert (per_example == per_example[:, :1]).all()
    assert abs(y.mean() - 1) < 0.05
    np.testing.assert_array_equal(layer.apply({}, x, False), x)
    assert linear_rates(0.5, 4) == [0.125, 0.25, 0.375, 0.5]


def test_parameters_of_separable_blocks():
    _, params = shapes(SeparableConvBlock(8, Style()), 1, 4, 4, 6)
    assert params["depthwise/block/conv/kernel"] == (3, 3, 1, 6)
    assert params["pointwise/conv/kernel"] == (1, 1, 6, 8)
    y, params = shapes(InvertedResidual(6, Style(), strides=2), 1, 4, 4, 6)
    assert y == (1, 2, 2, 6)
    assert params["expand/conv/kernel"] == (1, 1, 6, 36)
    assert (
        "expand/conv/kernel"
        not in shapes(InvertedResidual(6, Style(), InvertedForm(1)), 1, 4, 4, 6)[1]
    )


def test_a_convnext_block_starts_as_the_identity_nearly():
    block = ConvNeXtBlock(Style(norm="layer", activation="gelu"))
    x = image(1, 4, 4, 4)
    y, _ = quick(lambda x: block.init_with_output(KEYS, x, False))(x)
    assert 0 < np.abs(y - x).max() < 1e-4


def test_an_activation_outside_of_a_compiled_program_compiles_once():
    compiled, x = [], jnp.ones((2, 3, 5))
    Style(activation="mish").activate(x)

    def note(event, seconds, **about):
        compiled.extend([event] if event == "/jax/core/compile/backend_compile_duration" else [])

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        Style(activation="mish").activate(x)
        assert not compiled
        Style(activation="mish").activate(jnp.ones((2, 3, 7)))
        assert compiled  # another shape: the listener listens
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
