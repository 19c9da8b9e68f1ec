import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.training.optimizer import decay_mask, make_optimizer, make_schedule
from cnn.training.plan import resolve
from tests.conftest import tiny_config

PEAK = 0.1 * 16 / 256
TOTAL = 12


def rates(*overrides):
    config = tiny_config(*overrides)
    schedule = jax.jit(make_schedule(config.schedule, resolve(config, 100, 1)))
    return np.array([schedule(step) for step in range(TOTAL)], np.float64)


def test_constant():
    np.testing.assert_allclose(rates("schedule.name=constant"), PEAK, rtol=1e-6)


def test_warmup_reaches_the_peak_in_its_last_step():
    got = rates("schedule.name=constant", "schedule.warmup=4 steps")
    np.testing.assert_allclose(got[:5], PEAK * np.array([0.25, 0.5, 0.75, 1, 1]), rtol=1e-6)


@pytest.mark.parametrize("warmup", [0, 4])
def test_cosine(warmup):
    got = rates(f"schedule.warmup={warmup} steps", "schedule.final=0.1")
    t = np.arange(TOTAL - warmup) / (TOTAL - warmup)
    wanted = PEAK * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * t)))
    np.testing.assert_allclose(got[warmup:], wanted, rtol=1e-5)


@pytest.mark.parametrize("warmup", [0, 4])
def test_linear(warmup):
    got = rates("schedule.name=linear", f"schedule.warmup={warmup} steps", "schedule.final=0.1")
    t = np.arange(TOTAL - warmup) / (TOTAL - warmup)
    np.testing.assert_allclose(got[warmup:], PEAK * (1 - 0.9 * t), rtol=1e-5)


@pytest.mark.parametrize("warmup", [0, 2])
def test_step_changes_exactly_at_its_boundaries(warmup):
    got = rates(
        "schedule.name=step",
        f"schedule.warmup={warmup} steps",
        "schedule.boundaries=4 steps,9 steps",
        "schedule.factor=0.5",
    )
    wanted = PEAK * np.repeat([1, 0.5, 0.25], [4, 5, 3])
    np.testing.assert_allclose(got[warmup:], wanted[warmup:], rtol=1e-6)


def test_one_cycle_rises_from_a_25th_and_falls_to_the_end():
    got = rates("schedule.name=one_cycle", "schedule.warmup=4 steps")
    rise = (1 - np.cos(np.pi * np.arange(4) / 4)) / 2
    np.testing.assert_allclose(got[:4], PEAK * (1 / 25 + 24 / 25 * rise), rtol=1e-5)
    fall = (1 + np.cos(np.pi * np.arange(8) / 8)) / 2
    np.testing.assert_allclose(got[4:], PEAK * fall, rtol=1e-5, atol=1e-9)


PARAMS = {
    "conv": {"kernel": jnp.full((3, 3, 1, 2), 2.0)},
    "norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)},
    "gem": {"p": jnp.float32(3.0)},
    "head": {"kernel": jnp.full((2, 3), -1.0), "bias": jnp.ones(3)},
}


def test_weight_decay_touches_kernels_alone():
    mask = decay_mask(PARAMS)
    assert mask["conv"]["kernel"]
    assert mask["head"]["kernel"]
    assert not any([*mask["norm"].values(), mask["head"]["bias"], mask["gem"]["p"]])


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "lion"])
def test_without_gradient_only_kernels_move_and_towards_zero(name):
    config = tiny_config(f"optimizer.name={name}", "optimizer.weight_decay=0.1")
    tx = make_optimizer(config.optimizer, 0.0)
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    direction, _ = tx.update(zeros, tx.init(PARAMS), PARAMS)
    assert (direction["conv"]["kernel"] > 0).all()
    assert (direction["head"]["kernel"] < 0).all()
    assert not any(x.any() for x in jax.tree.leaves([direction["norm"], direction["gem"]]))


def directions(*overrides, gradients, clip=0.0):
    config = tiny_config("optimizer.weight_decay=0.01", *overrides)
    tx = make_optimizer(config.optimizer, clip)
    params = {"kernel": jnp.array([1.0, -2.0])}
    state, out = tx.init(params), []
    for g in gradients:
        direction, state = tx.update({"kernel": jnp.array(g)}, state, params)
        out.append(np.asarray(direction["kernel"], np.float64))
    return out


G = [[0.5, 1.0], [-1.0, 0.25]]
W = np.array([1.0, -2.0])


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_against_its_formula(nesterov):
    got = directions(f"optimizer.nesterov={nesterov}", gradients=G)
    momentum = np.zeros(2)
    for g, direction in zip(G, got, strict=True):
        grad = np.array(g) + 0.01 * W
        momentum = 0.9 * momentum + grad
        wanted = grad + 0.9 * momentum if nesterov else momentum
        np.testing.assert_allclose(direction, wanted, rtol=1e-6)


def test_adamw_against_its_formula():
    got = directions("optimizer.name=adamw", gradients=G)
    m = v = np.zeros(2)
    for t, (g, direction) in enumerate(zip(G, got, strict=True), 1):
        g = np.array(g)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        wanted = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + 0.01 * W
        np.testing.assert_allclose(direction, wanted, rtol=1e-4)


def test_lamb_against_its_formula():
    adamw = directions("optimizer.name=adamw", gradients=G)
    for got, plain in zip(directions("optimizer.name=lamb", gradients=G), adamw, strict=True):
        wanted = plain * np.linalg.norm(W) / np.linalg.norm(plain)
        np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_lion_against_its_formula():
    got = directions("optimizer.name=lion", "optimizer.beta2=0.99", gradients=G)
    m = np.zeros(2)
    for g, direction in zip(G, got, strict=True):
        g = np.array(g)
        np.testing.assert_allclose(direction, np.sign(0.9 * m + 0.1 * g) + 0.01 * W, rtol=1e-5)
        m = 0.99 * m + 0.01 * g


def test_clipping_bounds_the_gradient_before_the_decay():
    (got,) = directions("optimizer.momentum=0", gradients=[[30.0, 40.0]], clip=1.0)
    np.testing.assert_allclose(got, np.array([0.6, 0.8]) + 0.01 * W, rtol=1e-5)
