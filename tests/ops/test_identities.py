"""Operators that are the same function as others, and what their names promise of each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops.average import avg_pool, subsample
from cnn.ops.blur import blur
from cnn.ops.convolution import conv, depthwise_conv
from cnn.ops.max_pool import max_pool
from cnn.ops.mixed import gated_pool, mixed_pool
from cnn.ops.polyphase import select_phase, space_to_depth, take_phase
from cnn.ops.weighted import gem_pool, lip, soft_pool
from tests.ops.cases import compiled, image


def assert_pairs(pairs, *args, **tolerance):
    for name, (a, b) in jax.jit(pairs)(*args).items():
        np.testing.assert_allclose(a, b, err_msg=name, **tolerance)


@pytest.mark.parametrize("spatial", [(9,), (8, 9), (5, 6, 7)])
def test_striding_is_subsampling_what_was_computed_everywhere(spatial):
    ndim = len(spatial)
    kernel = image((3,) * ndim, channels=3, batch=1)[0]

    def pairs(x):
        def everywhere(y):
            return subsample(y, 2)

        return {
            "max": (max_pool(x, 2, 2, "VALID"), everywhere(max_pool(x, 2, 1, "VALID"))),
            "average": (avg_pool(x, 3, 2, "torch"), everywhere(avg_pool(x, 3, 1, "torch"))),
            "blur": (blur(x, 4, 2, "adobe"), everywhere(blur(x, 4, 1, "adobe"))),
            "depthwise": (
                depthwise_conv(x, kernel, 2, "torch"),
                everywhere(depthwise_conv(x, kernel, 1, "torch")),
            ),
            "SoftPool": (soft_pool(x, 2, 2, "VALID"), everywhere(soft_pool(x, 2, 1, "VALID"))),
            "first component": (
                take_phase(x, jnp.zeros(len(x), int), 2, "SAME"),
                subsample(x, 2),
            ),
        }

    assert_pairs(pairs, image(spatial), rtol=1e-5, atol=1e-6)


def test_averaging_and_a_1x1_convolution_commute():
    mix = image((1, 1, 4), channels=5, batch=1)[0]

    def pairs(x):
        return {
            f"{window} {padding}": (
                conv(avg_pool(x, window, 2, padding), mix, 1, "VALID"),
                avg_pool(conv(x, mix, 1, "VALID"), window, 2, padding),
            )
            for window, padding in ((2, "VALID"), (3, "SAME"), (3, "CIRCULAR"))
        }

    assert_pairs(pairs, image((7, 8), 4), rtol=1e-4, atol=1e-5)


def test_an_average_is_a_depthwise_convolution_and_two_of_its_components_half_a_convolution():
    def pairs(x):
        spd = space_to_depth(x, 2, "VALID")
        return {
            "depthwise": (
                avg_pool(x, 2, 2, "VALID"),
                depthwise_conv(x, jnp.full((2, 2, 3), 0.25), 2, "VALID"),
            ),
            "components": (avg_pool(x, 2, 2, "VALID"), spd.reshape(*spd.shape[:-1], 4, 3).mean(-2)),
            "maximum": (max_pool(x, 2, 2, "VALID"), spd.reshape(*spd.shape[:-1], 4, 3).max(-2)),
        }

    assert_pairs(pairs, image((6, 8)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", ["VALID", "SAME", "CIRCULAR", "REFLECT"])
def test_a_constant_stays_a_constant(padding):
    """For all that claim to average; with SAME only for those that leave the padding out."""
    zero = np.zeros((3, 3), np.float32)
    functions = {
        "average": lambda x: avg_pool(x, 3, 2, padding),
        "LIP": lambda x: lip(x, jnp.sin(jnp.arange(x.size)).reshape(x.shape), 3, 2, padding),
        "SoftPool": lambda x: soft_pool(x, 3, 2, padding),
        "GeM": lambda x: gem_pool(x, 3, 2, padding, p=3.0),
        "mixed": lambda x: mixed_pool(x, 3, 2, padding, share=0.3),
        "gated": lambda x: gated_pool(x, zero, 2, padding),
    }
    if padding != "SAME":
        functions["blur"] = lambda x: blur(x, 3, 2, padding)
    for name, y in compiled(functions, np.full((1, 7, 6, 2), 2.5, np.float32)).items():
        np.testing.assert_allclose(y, 2.5, rtol=1e-6, err_msg=name)


def test_between_average_and_maximum_the_order_is_kept():
    x = np.abs(image((8, 8)))

    def ladder(x):
        where = (2, 2, "VALID")
        powers = [gem_pool(x, *where, p=p) for p in (1.0, 2.0, 5.0, 50.0)]
        sharper = [lip(x, scale * x, *where) for scale in (0.0, 1.0, 5.0, 50.0)]
        return powers, sharper, max_pool(x, *where)

    powers, sharper, largest = jax.jit(ladder)(x)
    for steps in (powers, sharper):
        for low, high in zip(steps, [*steps[1:], largest], strict=True):
            assert np.all(low <= high + 1e-5)
        assert np.any(steps[0] < largest - 0.1)


def test_circular_operators_commute_with_circular_shifts_by_a_multiple_of_the_strides():
    functions = {
        "max": lambda x: max_pool(x, 3, 2, "CIRCULAR"),
        "average": lambda x: avg_pool(x, 3, 2, "CIRCULAR"),
        "blur": lambda x: blur(x, 4, 2, "CIRCULAR"),
        "SoftPool": lambda x: soft_pool(x, 3, 2, "CIRCULAR"),
        "components": lambda x: space_to_depth(x, 2, "CIRCULAR"),
        "APS": lambda x: select_phase(x, 2, "CIRCULAR")[0],
    }
    x = image((6, 8))
    shifted = np.roll(x, (2, 4), (1, 2))
    for name, both in compiled(functions, np.concatenate([x, shifted])).items():
        both = np.asarray(both)
        np.testing.assert_allclose(
            np.roll(both[:2], (1, 2), (1, 2)), both[2:], atol=1e-6, err_msg=name
        )
