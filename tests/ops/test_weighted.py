"""Weighted and power means: oracles, identities between them, and the numbers that overflow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.ops.average import avg_pool
from cnn.ops.max_pool import max_pool
from cnn.ops.weighted import gem_pool, lip, lp_pool, soft_pool
from tests.ops.cases import assert_agree, image
from tests.ops.oracles import ORACLES

OURS = {"lip": lip, "lp_pool": lp_pool, "gem_pool": gem_pool}


@pytest.mark.parametrize("spatial", [(9,), (8, 7), (4, 3, 5)])
def test_powers_by_channel_and_shared_logits_agree_with_the_oracle(spatial):
    logits, powers = image(spatial, channels=1, seed=2), np.float32([1, 0.5, 8])
    where = (3, 2, "SAME")

    def cases(ops):
        return {
            "lip, one channel of logits": lambda x: ops["lip"](x, logits, *where),
            "lp_pool 2": lambda x: ops["lp_pool"](x, *where, p=2.0),
            "lp_pool by channel": lambda x: ops["lp_pool"](x, *where, p=powers),
            "gem_pool by channel": lambda x: ops["gem_pool"](x, *where, p=powers, eps=0.01),
        }

    assert_agree(cases(OURS), cases(ORACLES), image(spatial), rtol=2e-5, atol=2e-6)


def test_the_average_and_the_maximum_are_the_ends():
    where = (3, 2, "SAME")

    def pairs(x):
        positive = jnp.abs(x) + 0.1
        return {
            "logits of zero are the average": (lip(x, 0 * x, *where), avg_pool(x, *where)),
            "equal logits are too": (lip(x, 0 * x + 70, *where), avg_pool(x, *where)),
            "logits of x are SoftPool": (lip(x, x, *where), soft_pool(x, *where)),
            "large logits are the maximum": (lip(x, 500 * x, *where), max_pool(x, *where)),
            "p = 1 is the average": (gem_pool(positive, *where, p=1.0), avg_pool(positive, *where)),
            "large p is the maximum": (
                gem_pool(positive, *where, p=1e4),
                max_pool(positive, *where),
            ),
            "sum and mean differ by K^(1/p)": (
                lp_pool(positive, 2, 2, "VALID", p=3.0),
                gem_pool(positive, 2, 2, "VALID", p=3.0) * 4 ** (1 / 3),
            ),
            "a norm scales": (lp_pool(7 * x, *where, p=3.0), 7 * lp_pool(x, *where, p=3.0)),
        }

    # Neighbours differ by 0.05 at least, so that the maximum is never a near tie.
    x = np.random.default_rng(0).permutation(2 * 6 * 5 * 3).reshape(2, 6, 5, 3) / 20 - 3
    for name, (a, b) in jax.jit(pairs)(x.astype(np.float32)).items():
        np.testing.assert_allclose(a, b, rtol=2e-3 if "large p" in name else 2e-5, err_msg=name)


@pytest.mark.parametrize("size", [1e4, 60000, 1e-7])
def test_extreme_numbers_neither_overflow_nor_vanish(size):
    x = (np.float32([1, 0.5, 0.25, 1]) * size)[None, :, None]

    def all_of(x):
        operators = {
            "lip": lambda x: lip(x, x, 2, 2, "VALID"),
            "lp_pool": lambda x: lp_pool(x, 2, 2, "VALID", p=3.0),
            "gem_pool": lambda x: gem_pool(x, 2, 2, "VALID", p=9.0, eps=1e-9),
        }
        return {
            name: (op(x), jax.grad(lambda x, op=op: op(x).sum())(x))
            for name, op in operators.items()
        }

    for dtype in (jnp.float32, jnp.bfloat16):
        results = jax.jit(all_of)(x.astype(dtype))
        for name, (y, grad) in results.items():
            assert np.isfinite(y).all(), name
            assert np.isfinite(grad).all(), name
        np.testing.assert_allclose(
            np.asarray(results["gem_pool"][0], np.float64)[0, :, 0],
            size * np.float64([(1 + 0.5**9) / 2, (1 + 0.25**9) / 2]) ** (1 / 9),
            rtol=1e-5 if dtype == jnp.float32 else 1e-2,
        )


def test_a_window_of_zeros_is_zero_and_has_no_gradient():
    def value_and_gradient(x, p):
        y = lp_pool(x, 2, 2, "VALID", p=p)
        return y, jax.grad(lambda x, p: lp_pool(x, 2, 2, "VALID", p=p).sum(), (0, 1))(x, p)

    x = np.float32([0, 0, 3, 4])[None, :, None]
    y, (dx, dp) = jax.jit(value_and_gradient)(x, np.float32(2))
    np.testing.assert_allclose(y[0, :, 0], [0, 5], rtol=1e-6)
    np.testing.assert_allclose(dx[0, :, 0], [0, 0, 0.6, 0.8], rtol=1e-6)
    assert np.isfinite(dp)


def test_negative_values_do_not_count_in_gem_and_count_by_size_in_lp():
    x = np.float32([-3, 4])[None, :, None]
    gem, lp = jax.jit(
        lambda x: (gem_pool(x, 2, 2, "VALID", p=1.0), lp_pool(x, 2, 2, "VALID", p=1))
    )(x)
    np.testing.assert_allclose([gem.item(), lp.item()], [2, 7], rtol=1e-6)


@pytest.mark.parametrize(
    ("op", "p"), [(lp_pool, 0.0), (lp_pool, -1), (gem_pool, 0), (gem_pool, -3.0)]
)
def test_a_power_that_is_none_is_refused(op, p):
    with pytest.raises(UserError, match="is not positive; use"):
        op(image((4,)), 2, 2, "VALID", p=p)
