"""Every operator on one to three elements an axis: the promised size, or one sentence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.layers import DOWNSAMPLERS, Downsample, Style
from tests.layers.cases import KEYS, image, quick

ALONE = {name: entry for name, entry in DOWNSAMPLERS.items() if not entry.on_conv}
BLURS = {"blur", "conv_blur", "avg_blur", "max_blur"}
POLYPHASE = {"aps", "max_aps", "lps", "max_lps", "space_to_depth", "patch_merging"}
# What has too little to mirror or to wrap, or no component that shifts with the circle.
MIRRORED = BLURS | {"ddac", "max_ddac"}
REFUSED = {"SAME": MIRRORED, "CIRCULAR": BLURS | POLYPHASE}


def initialized(operator, padding, spatial):
    """Returns the layer, and shapes of its output and its variables."""
    layer = Downsample(operator, 2, Style(padding=padding), name="downsample")
    x = jax.ShapeDtypeStruct((2, *spatial, 4), jnp.float32)
    (y, _), variables = jax.eval_shape(lambda x: layer.init_with_output(KEYS, x, True), x)
    return layer, y.shape, variables


def reduced(operator, spatial):
    return spatial if ALONE[operator].keeps_resolution else tuple(-(-n // 2) for n in spatial)


@pytest.mark.parametrize("padding", REFUSED)
@pytest.mark.parametrize("operator", ALONE)
def test_halves_rounded_up_or_says_why_not(operator, padding):
    for spatial in ((1,), (3, 1), (2, 1, 3)):
        if operator in REFUSED[padding]:
            with pytest.raises(UserError, match=operator) as error:
                initialized(operator, padding, spatial)
            assert "\n" not in str(error.value)
        else:
            shape = initialized(operator, padding, spatial)[1]
            assert shape == (2, *reduced(operator, spatial), 4)


@pytest.mark.parametrize("padding", ["REFLECT", "torch", "VALID"])
@pytest.mark.parametrize("operator", ALONE)
def test_no_padding_makes_an_empty_output(operator, padding):
    try:
        shape = initialized(operator, padding, (3, 1))[1]
    except UserError as error:
        shape, message = (1,), str(error)
    else:
        message = operator
    assert min(shape) > 0
    assert operator in message
    assert "\n" not in message


@pytest.mark.parametrize("train", [False, True])
def test_values_are_finite_though_windows_reach_outside(train):
    names = sorted(set(ALONE) - REFUSED["SAME"])

    @quick
    def run(x):
        found = {}
        for name in names:
            layer, _, variables = initialized(name, "SAME", x.shape[1:-1])
            variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.3), variables)
            rngs = {"dropout": KEYS["dropout"]}
            (y, _), _ = layer.apply(variables, x, train, rngs=rngs, mutable=["batch_stats"])
            found[name] = y
        return found

    x = image(2, 3, 1, 4)
    for name, y in run(x).items():
        assert np.isfinite(y).all(), name
        # Whatever the window, an average, a maximum or a choice of its elements is no larger.
        if name in ("avg", "max", "median", "subsample", "soft", "stochastic", "s3", "aps"):
            assert np.abs(y).max() <= np.abs(x).max() * (1 + 1e-6), name
