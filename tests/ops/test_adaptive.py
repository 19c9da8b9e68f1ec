"""Adaptive blur: its oracle, equal logits, constants, and logits that do not fit."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.ops.adaptive import adaptive_blur
from cnn.ops.average import avg_pool
from tests.ops.cases import assert_agree, image
from tests.ops.oracles_windowed import ORACLES

# (spatial, window, strides, padding, output)
CASES = [
    ((9,), 3, 2, "SAME", (5,)),
    ((8, 7), 3, 2, "REFLECT", (4, 4)),
    ((8, 7), (2, 3), (2, 1), "VALID", (4, 5)),
    ((4, 3, 5), 2, 2, "SAME", (2, 2, 3)),
    ((1, 1), 1, 2, "VALID", (1, 1)),
]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_agrees_with_the_oracle(groups):
    for spatial, window, strides, padding, out in CASES:
        count = int(np.prod(np.broadcast_to(window, len(spatial))))
        logits = image((*out, groups), channels=count, seed=1)
        where = (window, strides, padding)
        assert_agree(
            {where: lambda x, w=where, g=logits: adaptive_blur(x, *w, logits=g)},
            {where: lambda x, w=where, g=logits: ORACLES["adaptive_blur"](x, *w, logits=g)},
            image(spatial, channels=4),
            rtol=1e-5,
            atol=1e-6,
        )


def test_equal_logits_are_the_mean_and_constants_stay():
    x = image((6, 6), channels=4)
    logits = jnp.full((2, 3, 3, 2, 9), 50.0)
    mean = avg_pool(x, 3, 2, "CIRCULAR")
    np.testing.assert_allclose(
        adaptive_blur(x, 3, 2, "CIRCULAR", logits=logits), mean, rtol=1e-5, atol=1e-6
    )
    logits = image((3, 3, 2), channels=9)
    y = adaptive_blur(jnp.full((2, 6, 6, 4), 1.75), 3, 2, "REFLECT", logits=logits)
    np.testing.assert_allclose(y, 1.75, rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 3, 3, 9), (2, 3, 3, 2, 4), (2, 6, 6, 2, 9), (2, 3, 3, 9)])
def test_logits_that_do_not_fit_are_refused(shape):
    with pytest.raises(UserError, match=r"logits .* must have the shape"):
        adaptive_blur(jnp.ones((2, 6, 6, 4)), 3, 2, "SAME", logits=jnp.ones(shape))
