"""Pairs of entries that are one function: what the cards say, and an arm of each would compare."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.layers import DOWNSAMPLERS, Downsample, Style
from cnn.ops.convolution import conv
from tests.layers.cases import quick

KEY = jax.random.key(0)
# Positive, as behind a ReLU, and of even sizes: the windows of both then lie in the same places.
X = jnp.abs(jax.random.normal(KEY, (2, 6, 8, 4))) + 0.1

# (an entry, another one, factor of the other): as they start.
SAME = [
    ("conv_blur", "blur", 1),
    ("avg_blur(taps=3)", "blur(taps=3)", 1),
    ("blur(taps=2)", "avg", 1),
    ("max_blur(taps=2, window=1)", "avg", 1),
    ("max(window=1)", "subsample", 1),
    ("lip", "avg(window=3)", 1),
    ("lip(bottleneck=3)", "avg(window=3)", 1),
    ("gated", "mixed", 1),
    ("gem(p=1.0)", "avg", 1),
    ("lp(p=1.0)", "avg", 4),
    ("lp(p=2.0)", "gem(p=2.0)", 2),
    ("wavelet", "avg", 2),
    ("stochastic(window=1)", "subsample", 1),
    ("s3", "max_blur(taps=2)", 1),
]


def applied(operator, x, variables=None, style=None):
    layer = Downsample(operator, 2, style or Style())
    variables = layer.init(KEY, x, False) if variables is None else variables
    return layer.apply(variables, x, False)[0], variables


@pytest.fixture(scope="module")
def outputs():
    texts = sorted({text for a, b, _ in SAME for text in (a, b)})
    return quick(lambda x: {text: applied(text, x)[0] for text in texts})(X)


@pytest.mark.parametrize(("one", "other", "factor"), SAME)
def test_one_function_by_two_names(outputs, one, other, factor):
    np.testing.assert_allclose(outputs[one], factor * outputs[other], rtol=1e-5)


def test_names_of_blur_take_the_options_of_blur():
    defaults = DOWNSAMPLERS["blur"].defaults()
    assert DOWNSAMPLERS["conv_blur"].defaults() == DOWNSAMPLERS["avg_blur"].defaults() == defaults


def test_average_and_1x1_convolution_commute():
    @quick
    def run(x):
        y, variables = applied("avg_conv", x)
        return y, applied("conv_avg", x, variables)[0]

    np.testing.assert_allclose(*run(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", [1, 3])
def test_space_to_depth_is_one_larger_strided_convolution(window):
    @quick
    def run(x):
        style = Style(padding="CIRCULAR")
        y, variables = applied(f"space_to_depth(window={window})", x, style=style)
        kernel = variables["params"]["conv"]["kernel"]
        # [k, k, (2, 2, C), C] -> [2 k, 2 k, C, C]: element o of tap t is tap 2 t + o.
        k, features = kernel.shape[0], kernel.shape[-1]
        kernel = kernel.reshape(k, k, 2, 2, features, features).transpose(0, 2, 1, 3, 4, 5)
        kernel = kernel.reshape(2 * k, 2 * k, features, features)
        before = 2 * ((k - 1) // 2)
        wrapped = jnp.pad(x, ((0, 0), (before, before), (before, before), (0, 0)), mode="wrap")
        return y, conv(wrapped, kernel, 2, "VALID")

    np.testing.assert_allclose(*run(X), rtol=1e-5, atol=1e-5)
