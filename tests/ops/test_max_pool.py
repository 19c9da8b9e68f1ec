"""Max pooling against select-and-scatter, to the bit, and without it."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.ops import max_pool as module
from cnn.ops.max_pool import max_pool
from tests.ops.cases import compiled, image

CASES = [
    ((9,), 3, 2, "SAME"),
    ((7, 6), (2, 3), (2, 3), "SAME"),
    ((8, 7), 2, 2, "VALID"),
    ((7, 8), 3, 2, ((1, 1), (1, 1))),
    ((6, 5), 3, 1, "SAME"),
    ((1, 1), 3, 2, "SAME"),
    ((4, 5, 3), 2, 2, "SAME"),
]


@pytest.mark.parametrize(("spatial", "window", "strides", "padding"), CASES)
def test_values_and_gradients_are_those_of_flax_to_the_bit(spatial, window, strides, padding):
    size = (window,) * len(spatial) if isinstance(window, int) else window
    steps = (strides,) * len(spatial) if isinstance(strides, int) else strides
    draws = [image(spatial, seed=seed) for seed in range(4)]
    distinct, rectified, ties = draws[0], np.maximum(draws[1], 0), np.round(draws[2])
    infinite = np.where(draws[3] > 0, np.inf, -np.inf).astype(np.float32)
    equal = np.zeros_like(distinct)

    def value_and_gradient(pool, x):
        y, pull = jax.vjp(pool, x)
        # Whole numbers add up to the same in any order.
        g = jnp.round(7 * jnp.cos(jnp.arange(y.size, dtype=jnp.float32)))
        return y, pull(g.reshape(y.shape).astype(y.dtype))[0]

    @jax.jit
    def ours_and_flax(x):
        pools = (
            lambda x: max_pool(x, window, strides, padding),
            lambda x: nn.max_pool(x, size, steps, padding),
        )
        return [[value_and_gradient(pool, a) for pool in pools] for a in (x, x.astype("bfloat16"))]

    x = np.concatenate([distinct, rectified, ties, infinite, equal])
    for (y, dx), (flax_y, flax_dx) in ours_and_flax(x):
        assert (y.dtype, dx.dtype) == (flax_y.dtype, flax_dx.dtype)
        np.testing.assert_array_equal(np.asarray(y), np.asarray(flax_y))
        np.testing.assert_array_equal(np.asarray(dx), np.asarray(flax_dx))


def test_a_nan_is_the_maximum_and_gets_the_gradient():
    x = image((4,), batch=1, channels=1)
    x[0, 1] = np.nan
    y, grad = jax.jit(
        lambda x: (
            max_pool(x, 2, 2, "VALID"),
            jax.grad(lambda x: max_pool(x, 2, 2, "VALID").sum())(x),
        )
    )(x)
    assert np.isnan(y[0, 0, 0])
    np.testing.assert_array_equal(grad[0, :2, 0], [0, 1])


def test_only_tpus_are_given_a_select_and_scatter():
    def gradient(x):
        return jax.grad(lambda x: max_pool(x, 3, 2, "SAME").sum())(x)

    def stock(x):
        return jax.grad(lambda x: nn.max_pool(x, (3, 3), (2, 2), "SAME").sum())(x)

    x = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)

    def lowered(function, platform):
        return jax.jit(function).trace(x).lower(lowering_platforms=(platform,)).as_text()

    for platform in ("cpu", "cuda"):
        assert "scatter" not in lowered(gradient, platform)
        assert "select_and_scatter" in lowered(stock, platform)
    assert "select_and_scatter" in lowered(gradient, "tpu")


@pytest.mark.parametrize("mode", ["SAME", "CIRCULAR", "REFLECT"])
def test_the_form_of_tpus_gives_the_same(mode, monkeypatch):
    def both(x):
        y, pull = jax.vjp(lambda x: max_pool(x, 3, 2, mode), x)
        return y, pull(jnp.cos(y))[0]

    x = image((6, 5))
    expected = jax.jit(both)(x)
    monkeypatch.setattr(module, "_sliced", module._native)
    monkeypatch.setattr(
        module,
        "_put_back",
        lambda window, x, winner, g: jax.vjp(partial(module._native, window), x)[1](g)[0],
    )
    given = jax.jit(lambda x: both(x))(x)
    for one, other in zip(given, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_modes_that_fill_in_values_give_the_gradient_back_where_they_came_from():
    def gradient(mode):
        return jax.grad(lambda x: max_pool(x, 3, 1, mode).sum())

    x = np.arange(6, dtype=np.float32)[None, :, None]
    circle, mirror = compiled(
        {mode: gradient(mode) for mode in ("CIRCULAR", "REFLECT")}, x
    ).values()
    # The largest, 5, is seen by the windows around 4, 5 and 0; mirrored, by those around 4 and 5.
    np.testing.assert_array_equal(circle[0, :, 0], [0, 0, 1, 1, 1, 3])
    np.testing.assert_array_equal(mirror[0, :, 0], [0, 1, 1, 1, 1, 2])
