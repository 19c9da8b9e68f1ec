"""Median pooling: its oracle, which element gets the gradient, and padding that does not count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from cnn.config.errors import UserError
from cnn.ops.median import median_pool
from tests.ops.cases import assert_agree, image
from tests.ops.oracles_windowed import ORACLES

CASES = [
    ((9,), 3, 2, "SAME"),
    ((8, 7), 3, 2, ((1, 1), (1, 1))),
    ((8, 7), (2, 3), (2, 1), "VALID"),
    ((5, 6), 3, 2, "CIRCULAR"),
    ((4, 3, 5), 2, 2, "SAME"),
    ((1, 1), 3, 2, "SAME"),
]


@pytest.mark.parametrize("ties", [False, True])
def test_agrees_with_the_oracle(ties):
    for case in CASES:
        x = image(case[0])
        functions = {case: lambda x, case=case: median_pool(x, *case[1:])}
        expected = {case: lambda x, case=case: ORACLES["median_pool"](x, *case[1:])}
        assert_agree(functions, expected, np.round(x) if ties else x, rtol=1e-6, atol=1e-6)


def test_with_mirrored_borders_it_is_scipys_filter():
    x = image((7, 6))
    expected = scipy.ndimage.median_filter(x, (1, 3, 3, 1), mode="mirror")
    np.testing.assert_array_equal(median_pool(x, 3, 1, "REFLECT"), expected)


def test_the_gradient_goes_to_the_middle_and_of_equals_to_one():
    x = jnp.array([3.0, 1.0, 2.0, 5.0, 5.0, 5.0, 1.0, 4.0, 8.0, 2.0])[None, :, None]
    gradient = jax.grad(lambda x: median_pool(x[:, :6], 3, 3, "VALID").sum())(x)
    np.testing.assert_array_equal(gradient[0, :, 0], [0, 0, 1, 0, 1, 0, 0, 0, 0, 0])
    gradient = jax.grad(lambda x: median_pool(x[:, 6:], 4, 4, "VALID").sum())(x)
    np.testing.assert_array_equal(gradient[0, 6:, 0], [0, 0.5, 0, 0.5])


def test_a_nan_is_not_hidden():
    x = jnp.array([1.0, jnp.nan, 2.0, 3.0, 5.0, 4.0])[None, :, None]
    np.testing.assert_array_equal(median_pool(x, 3, 3, "VALID")[0, :, 0], [jnp.nan, 4])


def test_padding_as_large_as_the_window_is_refused():
    with pytest.raises(UserError, match="contain only padding"):
        median_pool(jnp.ones((1, 4, 1)), 2, 2, ((2, 0),))
