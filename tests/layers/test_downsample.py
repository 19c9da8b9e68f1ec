"""Every operator of the registry behind a convolution: shapes, gradients, randomness, phases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.layers import DOWNSAMPLERS, Downsample, DownsamplingConv, Style, operator_of
from cnn.ops.average import subsample
from cnn.ops.max_pool import max_pool
from tests.layers.cases import KEYS, image, moved, quick, score

# Those that are more than strides of the convolution before them.
ALONE = [name for name, entry in DOWNSAMPLERS.items() if not entry.on_conv]


def site(operator, features=8, style=None, **fields):
    return DownsamplingConv(features, 3, style or Style(), operator, **fields)


@pytest.mark.parametrize("spatial", [(8,), (6, 9), (4, 5, 6)])
@pytest.mark.parametrize("operator", DOWNSAMPLERS)
def test_halves_every_axis(operator, spatial):
    x = jax.ShapeDtypeStruct((2, *spatial, 4), jnp.float32)
    (y, _), _ = jax.eval_shape(lambda x: site(operator).init_with_output(KEYS, x, True), x)
    if operator == "fractional":
        expected = tuple(int(n / 1.4142) for n in spatial)
    elif operator_of(operator).keeps_resolution:
        expected = spatial
    else:
        expected = tuple(-(-n // 2) for n in spatial)
    assert y.shape == (2, *expected, 8)


@pytest.mark.parametrize("operator", DOWNSAMPLERS)
def test_computes_in_the_dtype_of_the_style(operator):
    x = jax.ShapeDtypeStruct((2, 8, 8, 4), jnp.float32)
    style = Style(dtype="bfloat16", padding="torch")
    layer = site(operator, style=style)
    (y, _), variables = jax.eval_shape(lambda x: layer.init_with_output(KEYS, x, True), x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.fixture(scope="module")
def trained():
    """Gradients of parameters and input for every operator, in one compilation."""

    def one(operator, x):
        layer = Downsample(operator, 2, Style())
        variables = layer.init(KEYS, x, False)

        def loss(params, x):
            given, rngs = variables | {"params": params}, {"dropout": KEYS["dropout"]}
            return score(layer.apply(given, x, True, mutable=["batch_stats"], rngs=rngs)[0][0])

        return jax.grad(loss, argnums=(0, 1))(moved(variables.get("params", {})), x)

    return quick(lambda x: {name: one(name, x) for name in ALONE})(image(2, 4, 4, 2))


@pytest.mark.parametrize("operator", ALONE)
def test_every_parameter_gets_a_finite_gradient(trained, operator):
    params, x = trained[operator]
    assert np.isfinite(x).all()
    assert np.abs(x).max() > 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


@pytest.fixture(scope="module")
def drawn():
    """Outputs of every operator, in training and evaluation, for two keys, in one compilation."""

    def one(operator, x, keys):
        layer = Downsample(operator, 2, Style())
        variables = layer.init(KEYS, x, False)

        def apply(train, key):
            rngs = {"dropout": key}
            return layer.apply(variables, x, train, rngs=rngs, mutable=["batch_stats"])[0][0]

        return [apply(True, key) for key in keys], [apply(False, key) for key in keys[1:]]

    keys = [jax.random.key(i) for i in (1, 1, 2)]
    x = jax.nn.relu(image(2, 6, 6, 2))
    return quick(lambda x: {name: one(name, x, keys) for name in ALONE})(x)


@pytest.mark.parametrize("operator", ALONE)
def test_only_random_operators_draw_and_only_in_training(drawn, operator):
    (a, again, b), (c, d) = drawn[operator]
    np.testing.assert_array_equal(a, again)
    np.testing.assert_array_equal(c, d)
    assert np.array_equal(a, b) != operator_of(operator).stochastic


def test_an_operator_comes_after_the_activation_and_strided_conv_in_the_convolution():
    x = image(2, 8, 8, 3)

    @quick
    def run(x):
        dense = site("none")
        variables = dense.init(KEYS, x, False)
        full = dense.apply(variables, x, False)[0]
        found = {op: site(op).apply(variables, x, False)[0] for op in ("max", "subsample")}
        same = site("strided_conv", style=Style(padding="torch"))
        torch = site("subsample", style=Style(padding="torch"))
        strided = same.apply(variables, x, False)[0], torch.apply(variables, x, False)[0]
        return (
            found,
            {"max": max_pool(full, 2, 2, "SAME"), "subsample": subsample(full, 2)},
            strided,
        )

    found, expected, (strided, subsampled) = run(x)
    for operator, value in expected.items():
        np.testing.assert_allclose(found[operator], value, atol=1e-6)
    np.testing.assert_allclose(strided, subsampled, atol=1e-5)


@pytest.mark.parametrize("operator", ["aps", "aps(norm='l1', taps=3)", "lps"])
def test_a_shortcut_takes_the_phase_of_the_main_path(operator):
    x = image(4, 8, 8, 3)
    layer = Downsample(operator, 2, Style(padding="CIRCULAR"))

    @quick
    def run(x, other):
        variables = layer.init(KEYS, x, False)
        y, phase = layer.apply(variables, x, False)
        return y, layer.apply(variables, x, False, phase)[0], layer.apply({}, other, False, phase)

    y, again, (z, phase) = run(x, image(4, 8, 8, 5, seed=1))
    np.testing.assert_array_equal(y, again)
    assert z.shape == (4, 4, 4, 5)
    assert len(phase) == 4


def test_dilation_sees_what_the_strided_network_sees():
    x = image(2, 8, 8, 3)

    @quick
    def run(x):
        first, second = site("dilated"), DownsamplingConv(4, 3, Style(), "none")
        a = first.init(KEYS, x, False)
        dense = first.apply(a, x, False)[0]
        b = second.init(KEYS, dense, False)
        wide = second.copy(style=Style().dilated(2)).apply(b, dense, False)[0]
        return wide[:, 2:-2:2, 2:-2:2], second.apply(b, dense[:, ::2, ::2], False)[0][:, 1:-1, 1:-1]

    np.testing.assert_allclose(*run(x), atol=1e-5)


@pytest.mark.parametrize(
    ("operator", "padding", "spatial", "message"),
    [
        (
            "max(window=9)",
            "VALID",
            (6, 6),
            r"'max\(window=9\)' on \(6, 6\): window: \(9, 9\) is la",
        ),
        ("aps", "CIRCULAR", (5, 6), "strides .* do not divide the input"),
        ("aps(norm='l3')", "CIRCULAR", (6, 6), "norm of 'aps': unknown 'l3'.*allowed: l1, l2"),
        ("lp(p=0.0)", "SAME", (6, 6), "p=0.0 is not positive"),
        ("gem(p=-1.0)", "SAME", (6, 6), "p=-1.0 is not positive"),
        ("blur(taps=9)", "SAME", (6, 6), r"taps of .blur.: 9 is out of range; allowed: \[2, 7\]"),
        ("blur(dialect='abode')", "SAME", (6, 6), "did you mean 'adobe'"),
        ("fractional(ratio=0.5)", "SAME", (6, 6), "fractional"),
        ("diff_stride(smoothness=0.0)", "SAME", (6, 6), "smoothness"),
        ("wavelet(wavelet='har')", "SAME", (6, 6), "did you mean 'haar'"),
        ("strided_conv", "SAME", (6, 6), "needs a convolution to take its strides"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_with_the_site(operator, padding, spatial, message):
    x = jax.ShapeDtypeStruct((2, *spatial, 3), jnp.float32)
    layer = Downsample(operator, 2, Style(padding=padding), name="downsample")
    with pytest.raises(UserError, match=message) as error:
        jax.eval_shape(lambda x: layer.init(KEYS, x, False), x)
    assert "\n" not in str(error.value)
