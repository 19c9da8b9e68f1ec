"""Norms against float64 NumPy, in training and evaluation, whole batches and ghost groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.layers import NORMS, Style
from tests.layers.cases import quick

EPSILON = 1e-5
RNG = np.random.default_rng(0)


def normalized(x, axes, epsilon=EPSILON):
    x = np.asarray(x, np.float64)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + epsilon)


def run(norm, x, train=True, variables=None, **style):
    """Applies a norm; returns the output and the new statistics."""
    layer = NORMS[norm](Style(norm=norm, norm_epsilon=EPSILON, **style))

    @quick
    def apply(x, given):
        given = layer.init(jax.random.key(0), x, False) if given is None else given
        return layer.apply(given, x, train, mutable=["batch_stats"])

    y, updates = apply(x, variables)
    return np.asarray(y, np.float64), updates.get("batch_stats")


@pytest.mark.parametrize("mean", [0.0, 1e3, 1e4])
def test_batch_norm_is_exact_whatever_the_mean(mean):
    x = (RNG.standard_normal((16, 4, 4, 3)) + mean).astype(np.float32)
    y, stats = run("batch", x)
    # Inputs near 10,000 lie 0.001 apart in float32; what is computed from them is exact.
    np.testing.assert_allclose(y, normalized(x, (0, 1, 2)), atol=1e-2 if mean == 1e4 else 1e-3)
    moments = np.asarray(x, np.float64)
    np.testing.assert_allclose(stats["mean"], 0.1 * moments.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
    expected = 0.9 + 0.1 * moments.var((0, 1, 2))
    np.testing.assert_allclose(stats["var"], expected, rtol=1e-5)


def test_evaluation_uses_running_statistics_and_leaves_them():
    x = RNG.standard_normal((4, 3, 3, 2)).astype(np.float32)
    stats = {"mean": np.float32([1.0, -2.0]), "var": np.float32([4.0, 0.25])}
    params = {"scale": np.float32([2.0, 3.0]), "bias": np.float32([0.5, 0.0])}
    y, after = run("batch", x, False, {"params": params, "batch_stats": stats})
    expected = (x - stats["mean"]) / np.sqrt(stats["var"] + EPSILON) * params["scale"]
    np.testing.assert_allclose(y, expected + params["bias"], rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, dict(after), stats)


def test_frozen_statistics_are_used_in_training_too():
    x = RNG.standard_normal((4, 3, 3, 2)).astype(np.float32)
    stats = {"mean": np.float32([1.0, -2.0]), "var": np.float32([4.0, 0.25])}
    params = {"scale": np.float32([2.0, 3.0]), "bias": np.float32([0.5, 0.0])}
    given = {"params": params, "batch_stats": stats}
    y, after = run("batch", x, True, given, norm_frozen=True)
    wanted, _ = run("batch", x, False, given)
    np.testing.assert_array_equal(y, wanted)
    jax.tree.map(np.testing.assert_array_equal, dict(after), stats)


def test_ghost_groups_are_runs_of_the_batch_and_statistics_their_mean():
    x = RNG.standard_normal((12, 2, 2, 3)).astype(np.float32)
    y, stats = run("batch", x, ghost_batch=4)
    groups = x.reshape(3, 4, 2, 2, 3)
    np.testing.assert_allclose(
        y, normalized(groups, (1, 2, 3)).reshape(x.shape), rtol=1e-4, atol=1e-5
    )
    means = np.float64(groups).var((1, 2, 3)).mean(0)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * means, rtol=1e-5)


def test_accumulation_equals_ghost_groups():
    x = RNG.standard_normal((12, 2, 2, 3)).astype(np.float32)
    y, whole = run("batch", x, ghost_batch=4)
    parts = [run("batch", part) for part in np.split(x, 3)]
    np.testing.assert_allclose(y, np.concatenate([p for p, _ in parts]), atol=1e-6)
    mean = jax.tree.map(lambda *stats: sum(stats) / 3, *[dict(stats) for _, stats in parts])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), dict(whole), mean)


def test_a_ghost_batch_has_to_divide():
    with pytest.raises(UserError, match=r"model.ghost_batch: 5 does not divide the 12 examples"):
        run("batch", np.zeros((12, 2, 2, 3), np.float32), ghost_batch=5)


@pytest.mark.parametrize("spatial", [(5,), (3, 4), (2, 3, 2)])
def test_norms_within_an_example(spatial):
    x = RNG.standard_normal((2, *spatial, 64)).astype(np.float32) * 3 + 5
    axes = tuple(range(1, x.ndim - 1))
    groups = x.reshape(2, *spatial, 32, 2)
    expected = {
        "layer": normalized(x, (-1,)),
        "instance": normalized(x, axes),
        "group": normalized(groups, (*axes, -1)).reshape(x.shape),
        "none": x,
    }
    for norm, value in expected.items():
        y, stats = run(norm, x)
        np.testing.assert_allclose(y, value, rtol=1e-4, atol=1e-4, err_msg=norm)
        assert not stats
        np.testing.assert_array_equal(y, run(norm, x, train=False)[0])


def test_groups_are_as_many_as_divide():
    x = RNG.standard_normal((2, 3, 36)).astype(np.float32)
    groups = x.reshape(2, 3, 18, 2)
    expected = normalized(groups, (1, -1)).reshape(x.shape)
    np.testing.assert_allclose(run("group", x)[0], expected, rtol=1e-4, atol=1e-4)


def test_statistics_are_float32_in_bfloat16():
    x = jnp.asarray(RNG.standard_normal((64, 4, 4, 2)) + 100, jnp.bfloat16)
    y, stats = run("batch", x)
    exact = normalized(np.asarray(x, np.float64), (0, 1, 2))
    np.testing.assert_allclose(y, exact, atol=2e-2)
    assert stats["var"].dtype == jnp.float32
    expected = 0.9 + 0.1 * np.asarray(x, np.float64).var((0, 1, 2))
    np.testing.assert_allclose(stats["var"], expected, rtol=1e-5)
