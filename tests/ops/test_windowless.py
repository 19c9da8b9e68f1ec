"""What operators without a free window promise: gradients, batches, types and dimensions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from cnn.ops import heads
from cnn.ops.average import subsample
from cnn.ops.blur import blur
from cnn.ops.polyphase import phase_weights, select_phase, space_to_depth, split_phases, take_phase
from cnn.ops.precision import widened
from tests.ops.cases import image

CHANNELS = 4
SQUARE = image((CHANNELS,), CHANNELS, 2, 1)
PAIRS = [(SQUARE[0], SQUARE[1, i]) for i in range(4)]
WEIGHTS = np.float32([[0.1, 0.9, 0.3, 0.4], [0, 1, 0, 0]])


def phases_alike(x):
    """LPS as a layer uses it: logits from every component by the same function."""
    phases = split_phases(x, 2, "SAME")
    logits = jnp.tanh(widened(phases)).sum(tuple(range(2, phases.ndim))).T
    return take_phase(x, phase_weights(logits, jax.random.key(3), 0.7), 2, "SAME")


def attention(x):
    positions = np.resize(SQUARE, (x[0, ..., 0].size + 1, CHANNELS))
    return heads.attention_pool(x, positions, *PAIRS, heads=2)


# All of the form x [B, *spatial, C] -> y, smooth where x is positive and without ties.
OPERATORS = {
    "blur 4": lambda x: blur(x, 4, 2, "adobe"),
    "blur 3": lambda x: blur(x, 3, 2, "SAME"),
    "subsample": lambda x: subsample(x, 2),
    "space to depth": lambda x: space_to_depth(x, 2, "SAME"),
    "APS": lambda x: select_phase(x, 2, "SAME")[0],
    "APS l1": lambda x: select_phase(x, 2, "VALID", norm="l1")[0],
    "LPS": phases_alike,
    "avg": heads.global_avg,
    "max": heads.global_max,
    "avg_max": heads.global_avg_max,
    "cat_avg_max": heads.global_cat_avg_max,
    "gem": lambda x: heads.global_gem(x, p=3.0),
    "log_sum_exp": lambda x: heads.global_log_sum_exp(x, r=3.0),
    "attention": attention,
    "SimPool": lambda x: heads.sim_pool(x, x, x, *SQUARE),
    "SimPool 2": lambda x: heads.sim_pool(x, x, x, *SQUARE, gamma=2.0),
}


run = jax.jit(lambda x: {name: op(x) for name, op in OPERATORS.items()})


def positive(spatial, batch=2):
    return np.abs(image(spatial, CHANNELS, batch)) + 0.1


@pytest.mark.parametrize("name", OPERATORS)
def test_gradients_are_those_of_finite_differences(name):
    with jax.enable_x64(True):
        operator = jax.jit(OPERATORS[name])
        x = jnp.asarray(positive((4, 3)), jnp.float64)
        assert operator(x).dtype == jnp.float64
        check_grads(operator, (x,), order=1, modes=["rev"], atol=1e-6, rtol=1e-6, eps=1e-6)


def test_gradients_reach_every_parameter():
    def outputs(p, r, query, key, pairs, positions, logits, x):
        return [
            heads.global_gem(x, p=p),
            heads.global_log_sum_exp(x, r=r),
            heads.sim_pool(x, x, x, query, key, gamma=2.0),
            heads.attention_pool(x, positions, *pairs, heads=2),
            take_phase(x, phase_weights(logits, jax.random.key(0), 0.5), 2, "SAME"),
        ]

    with jax.enable_x64(True):
        parameters = (
            np.linspace(1, 4, CHANNELS),
            np.float64(3),
            *SQUARE,
            PAIRS,
            image((7,), CHANNELS, 1)[0],
            WEIGHTS,
        )
        parameters = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), parameters)
        x = jnp.asarray(positive((2, 3)), jnp.float64)
        heads_of = jax.jit(lambda *parameters: outputs(*parameters, x))
        check_grads(heads_of, parameters, order=1, modes=["rev"], atol=1e-6, rtol=1e-6, eps=1e-6)


def test_vmap_is_a_loop():
    x = np.stack([positive((5, 4)), positive((5, 4))[:, ::-1]])
    looped = jax.tree.map(lambda *each: np.stack(each), *map(run, x))
    for name, y in jax.jit(jax.vmap(run))(x).items():
        np.testing.assert_allclose(y, looped[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_bfloat16_is_rounded_once():
    x = positive((5, 4)).astype(jnp.bfloat16)
    exact = run(x.astype(np.float32))
    for name, y in run(x).items():
        assert y.dtype == jnp.bfloat16, name
        np.testing.assert_allclose(
            np.asarray(y, np.float32), exact[name], rtol=2**-8, atol=1e-6, err_msg=name
        )


def test_heads_do_not_see_how_positions_are_arranged():
    pools = [op for op in OPERATORS.values() if jax.eval_shape(op, positive((8,))).ndim == 2]
    x = positive((8,))
    line, *others = (
        jax.jit(lambda x: [pool(x) for pool in pools])(x.reshape(2, *spatial, CHANNELS))
        for spatial in ((8,), (4, 2), (2, 2, 2))
    )
    assert len(pools) == 9
    for other in others:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), line, other)


@pytest.mark.parametrize("extra", [(1,), (1, 1)])
def test_dimensions_agree_with_strides(extra):
    x = positive((8,))
    strides = (2, *extra)

    def pairs(x):
        long = x.reshape(2, 8, *extra, CHANNELS)
        index = jnp.asarray([1, 0])
        found = {
            "subsample": (subsample(x, 2), subsample(long, strides)),
            "depth": (space_to_depth(x, 2, "SAME"), space_to_depth(long, strides, "SAME")),
            "APS": (select_phase(x, 2, "SAME")[0], select_phase(long, strides, "SAME")[0]),
            "index": (take_phase(x, index, 2, "SAME"), take_phase(long, index, strides, "SAME")),
        }
        return {name: (a, b.reshape(a.shape)) for name, (a, b) in found.items()}

    for name, (a, b) in jax.jit(pairs)(x).items():
        np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("taps", [2, 3, 4])
def test_blur_of_what_is_constant_along_an_axis_is_the_blur_of_fewer_dimensions(taps):
    line = positive((8,))

    @jax.jit
    def both(x):
        plane = jnp.broadcast_to(x[:, :, None], (2, 8, 6, CHANNELS))
        return blur(x, taps, 2, "adobe"), blur(plane, taps, 2, "adobe")

    one, two = both(line)
    for column in range(two.shape[2]):
        np.testing.assert_allclose(two[:, :, column], one, rtol=1e-5)
