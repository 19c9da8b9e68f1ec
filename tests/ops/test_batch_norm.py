"""Batch norm against float64 NumPy: values, statistics, and the gradient that is written out."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import batch_norm as op
from tests.ops.oracles import ORACLES

EPSILON = 1e-3
CASES = [(1, 6, 5, 4, 3), (3, 4, 2, 2), (2, 2, 3, 2, 2, 5), (1, 7, 3)]


def arrays(shape):
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, *shape)).astype(np.float32)
    scale, bias, shift = rng.normal(size=(3, shape[-1])).astype(np.float32)
    return 2 * x + 1, g, scale, bias, shift


@partial(jax.jit, static_argnums=0)
def value_and_gradients(where, x, g, scale, bias, shift):
    y, pull = jax.vjp(lambda *a: op.batch_norm(*a, shift, EPSILON), x, scale, bias)
    return y, pull((g, jnp.ones_like(y[1]), jnp.ones_like(y[2])))


@pytest.mark.parametrize("shape", CASES, ids=str)
@pytest.mark.parametrize("passes", ["_one_pass", "_two_passes"])
def test_values_statistics_and_gradients(shape, passes, monkeypatch):
    moments = getattr(op, passes)
    for form in ("_one_pass", "_two_passes"):
        monkeypatch.setattr(op, form, moments)
    x, g, scale, bias, shift = arrays(shape)
    (y, mean, var), gradients = value_and_gradients(passes, x, g, scale, bias, shift)
    exact = [a.astype(np.float64) for a in (x, scale, bias)]
    oracle = partial(ORACLES["batch_norm"], epsilon=EPSILON)
    for found, expected in zip((y, mean, var), oracle(*exact), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)
    rng = np.random.default_rng(1)
    for place, gradient in enumerate(gradients):
        step = np.zeros_like(exact[place])
        step[...] = 1e-5 * rng.normal(size=step.shape)
        ahead, behind = (
            oracle(*(a + sign * step if i == place else a for i, a in enumerate(exact)))[0]
            for sign in (1, -1)
        )
        slope = (np.float64(g) * (ahead - behind)).sum() / 2
        np.testing.assert_allclose((gradient * step).sum(), slope, rtol=1e-3, atol=1e-8)


def test_a_single_pass_is_exact_near_its_shift():
    x = np.random.default_rng(0).normal(size=(1, 500, 2)).astype(np.float32) + np.float32(1e4)
    mean, var = jax.jit(op._one_pass)(x, np.float32([1e4 + 1, 1e4 - 2]))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(1), rtol=1e-7)
    np.testing.assert_allclose(var, exact.var(1), rtol=1e-5)


def test_the_gradient_keeps_the_dtype_of_the_input():
    x = np.ones((1, 4, 2), jnp.bfloat16)
    y, pull = jax.vjp(
        lambda x: op.batch_norm(x, *np.ones((3, 2), np.float32), EPSILON)[0], jnp.asarray(x)
    )
    assert y.dtype == pull(y)[0].dtype == jnp.bfloat16
