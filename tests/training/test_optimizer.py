import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn.config.errors import UserError
from cnn.training.optimizer import OPTIMIZERS, decay_mask, make_optimizer
from cnn.training.plan import make_training_plan
from tests.conftest import tiny_config

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


def updates_of(tx, params, gradients):
    state, updates = tx.init(params), []
    for step, gradient in enumerate(gradients):
        update, state = tx.update(gradient, state, params, step=step)
        updates.append(update)
        params = optax.apply_updates(params, update)
    return updates


# Without any gradient Prodigy's estimate is 0 / 0; its decay is in its formula below.
@pytest.mark.parametrize("name", sorted({*OPTIMIZERS} - {"prodigy"}))
def test_without_gradient_only_kernels_move_and_towards_zero(name):
    config = tiny_config(f"optimizer.name={name}", "optimizer.weight_decay=0.1")
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    tx = make_optimizer(config.optimizer, 0.0, optax.constant_schedule(0.5))
    (update,) = updates_of(tx, PARAMS, [zeros])
    assert (update["conv"]["kernel"] < 0).all()
    # Muon leaves the classifier to Adam without decay, as optax does.
    assert name == "muon" or (update["head"]["kernel"] > 0).all()
    assert not any(x.any() for x in jax.tree.leaves([update["norm"], update["gem"]]))


RATE, DECAY = 0.05, 0.01
ALIASES = {
    "rmsprop(decay=0.8)": lambda: optax.chain(
        optax.add_decayed_weights(DECAY, decay_mask),
        optax.rmsprop(RATE, decay=0.8, momentum=0.9, nesterov=True),
    ),
    "lars(trust=0.01)": lambda: optax.lars(
        RATE, DECAY, decay_mask, 0.01, trust_ratio_mask=decay_mask, nesterov=True
    ),
    "adamw": lambda: optax.adamw(RATE, weight_decay=DECAY, mask=decay_mask),
    "nadamw": lambda: optax.nadamw(RATE, weight_decay=DECAY, mask=decay_mask),
    "adan": lambda: optax.adan(RATE, eps_root=0.0, weight_decay=DECAY, mask=decay_mask),
    "prodigy": lambda: optax.contrib.prodigy(RATE),
    "lamb": lambda: optax.lamb(RATE, eps=1e-8, weight_decay=DECAY, mask=decay_mask),
    "lion": lambda: optax.lion(RATE, b2=0.999, weight_decay=DECAY, mask=decay_mask),
}


@pytest.mark.parametrize("text", ALIASES)
def test_an_optimizer_is_that_of_optax(text):
    # optax's Prodigy decays whatever there is.
    decay = 0.0 if text == "prodigy" else DECAY
    config = tiny_config(f"optimizer.name={text}", f"optimizer.weight_decay={decay}")
    draws = np.random.default_rng(0)
    gradients = [
        jax.tree.map(lambda p: jnp.asarray(draws.normal(size=p.shape), jnp.float32), PARAMS)
        for _ in range(3)
    ]
    tx = make_optimizer(config.optimizer, 0.0, optax.constant_schedule(RATE))
    theirs = optax.with_extra_args_support(ALIASES[text]())
    both = updates_of(tx, PARAMS, gradients), updates_of(theirs, PARAMS, gradients)
    for ours, wanted in zip(*both, strict=True):
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-8)


def test_muon_makes_the_momentum_of_a_kernel_orthogonal():
    config = tiny_config("optimizer.name=muon", "optimizer.weight_decay=0")
    draws = np.random.default_rng(0)
    gradient = {
        "conv": {"kernel": jnp.asarray(draws.normal(size=(3, 3, 2, 4)), jnp.float32)},
        "head": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
    }
    params = jax.tree.map(jnp.ones_like, gradient)
    tx = make_optimizer(config.optimizer, 0.0, optax.constant_schedule(1.0))
    (update,) = updates_of(tx, params, [gradient])
    matrix = np.asarray(gradient["conv"]["kernel"], np.float64).reshape(18, 4)
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    # The singular values of five Newton-Schulz steps lie within 0.7 and 1.2 (Jordan et al.).
    found = -left.T @ np.asarray(update["conv"]["kernel"], np.float64).reshape(18, 4) @ right.T
    assert ((np.diag(found) > 0.65) & (np.diag(found) < 1.25)).all()
    assert np.abs(found - np.diag(np.diag(found))).max() < 1e-3
    # Adam's first step, with Nesterov's momentum, is about the sign of the gradient.
    assert (np.abs(update["head"]["kernel"] + 1) < 0.95).all()


GROUPS = (
    "optimizer.groups=(head: rate=10, norm: rate=0, conv.*kernel: name=adamw weight_decay=0)",
    "optimizer.weight_decay=0.1",
)


def test_groups_have_their_own_rates_decays_and_optimizers():
    ones = jax.tree.map(jnp.ones_like, PARAMS)
    config = tiny_config(*GROUPS, "optimizer.nesterov=false")
    tx = make_optimizer(config.optimizer, 0.0, lambda step: 0.5 / (step + 1))
    first, second = updates_of(tx, PARAMS, [ones, ones])
    # By hand: SGD takes the gradient and the decay, 10 times the rate in the head.
    np.testing.assert_allclose(first["head"]["kernel"], -10 * 0.5 * (1 + 0.1 * -1), rtol=1e-6)
    np.testing.assert_allclose(first["head"]["bias"], -10 * 0.5, rtol=1e-6)
    np.testing.assert_allclose(first["gem"]["p"], -0.5, rtol=1e-6)
    # The rate is that of the step, halved in the second; momentum adds 0.9 of the first gradient.
    np.testing.assert_allclose(second["gem"]["p"], -0.25 * 1.9, rtol=1e-6)
    # Adam's step of a constant gradient is 1, and no decay is added.
    np.testing.assert_allclose(first["conv"]["kernel"], -0.5, rtol=1e-4)
    assert not any(x.any() for x in jax.tree.leaves([first["norm"], second["norm"]]))


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("head", "is not like 'REGEX: rate=0.1 weight_decay=0'"),
        ("head: rate 3", "is not like"),
        ("head: rte=3", "unknown 'rte': did you mean 'rate'"),
        ("head: rate=-1", "out of range"),
        ("head: rate=fast", "not a number"),
        ("head: beta1=0.5", "beta1 has no effect with sgd"),
        ("head: name=sdg", "did you mean 'sgd'"),
        ("(head: rate=1", "not a regular expression"),
        ("haed: rate=1", "no other parameter matches 'haed'; names are conv/kernel"),
    ],
)
def test_groups_that_cannot_be_are_refused(group, words):
    config = tiny_config()
    with config.unlocked():
        config.optimizer.groups = (group,)
    with pytest.raises(UserError, match=re.escape(words)):
        make_optimizer(config.optimizer, 0.0, optax.constant_schedule(1.0)).init(PARAMS)


@pytest.mark.parametrize(("scaling", "peak"), [("linear", 0.1 * 16 / 256), ("none", 0.1)])
def test_the_peak_is_scaled_with_the_batch_or_not(scaling, peak):
    plan = make_training_plan(tiny_config(f"optimizer.scaling={scaling}"), 100, 1)
    assert (plan.learning_rate, plan.scaling) == (peak, scaling)


def directions(*overrides, gradients, clip=0.0):
    config = tiny_config("optimizer.weight_decay=0.01", *overrides)
    tx = make_optimizer(config.optimizer, clip, optax.constant_schedule(1.0))
    params = {"kernel": jnp.array([1.0, -2.0])}
    state, out = tx.init(params), []
    for g in gradients:
        update, state = tx.update({"kernel": jnp.array(g)}, state, params, step=0)
        out.append(-np.asarray(update["kernel"], np.float64))
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


def test_prodigy_against_its_formula():
    """Algorithm 4 of Mishchenko & Defazio, with the bias correction that its Adam form offers."""
    rates = [1.0, 0.25, 0.5, 1.0] * 3
    draws = np.random.default_rng(0)
    # Always towards zero, so that the estimate grows.
    gradients = (np.abs(draws.normal(size=(12, 3))) * [1, -1, 1]).astype(np.float32)
    config = tiny_config("optimizer.name=prodigy(start=0.01)", "optimizer.weight_decay=0.1")
    tx = make_optimizer(config.optimizer, 0.0, lambda step: jnp.array(rates)[step])
    params = {"kernel": jnp.array([1.0, -2.0]), "bias": jnp.array([0.5])}
    state = tx.init(params)
    x = start = np.array([1.0, -2.0, 0.5])
    decayed = np.array([0.1, 0.1, 0.0])
    d, m, v, r, s = 0.01, 0.0, 0.0, 0.0, 0.0
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True)):
        given = {"kernel": jnp.asarray(g[:2]), "bias": jnp.asarray(g[2:])}
        update, state = tx.update(given, state, params, step=t)
        params = optax.apply_updates(params, update)
        g = g.astype(np.float64)
        unbias = np.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1))
        m, v = 0.9 * m + 0.1 * d * g, 0.999 * v + 0.001 * (d * g) ** 2
        kept, gain = np.sqrt(0.999), d * d * rate * unbias
        r, s = kept * r + gain * g @ (start - x), kept * s + gain * g
        x = x - rate * d * unbias * (m / (np.sqrt(v) + d * 1e-8) + decayed * x)
        d = max(d, r / np.abs(s).sum())
        np.testing.assert_allclose([*params["kernel"], *params["bias"]], x, rtol=1e-4)
    assert d > 0.02


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_schedule_free_is_that_of_optax_and_its_average_is_the_paper_s(name):
    config = tiny_config(
        f"optimizer.name={name}",
        *("optimizer.momentum=0", "optimizer.beta1=0", "optimizer.nesterov=false"),
        *("optimizer.weight_decay=0", "optimizer.schedule_free=0.9"),
    )
    rates = jnp.array([0.1, 0.3, 0.3, 0.3])
    tx = make_optimizer(config.optimizer, 0.0, lambda step: rates[step])
    theirs = {"sgd": optax.sgd(1.0), "adamw": optax.adam(1.0, b1=0.0)}[name]
    curvature, start = jnp.array([1.0, 3.0]), jnp.array([1.0, -2.0])
    params, state = {"kernel": start}, tx.init({"kernel": start})
    base, z, x, total = theirs.init(start), start, start, 0.0
    for t, rate in enumerate(rates):
        y = 0.9 * x + 0.1 * z
        np.testing.assert_allclose(params["kernel"], y, rtol=1e-5)
        update, state = tx.update({"kernel": curvature * y}, state, params, step=t)
        params = optax.apply_updates(params, update)
        move, base = theirs.update(curvature * y, base)
        # Defazio et al., eq. 22: weights are the squares of the largest rate so far.
        z, total = z + rate * move, total + rate**2
        x = x + rate**2 / total * (z - x)
        evaluated = optax.contrib.schedule_free_eval_params(state, params)
        np.testing.assert_allclose(evaluated["kernel"], x, rtol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ((), "replaces optimizer.momentum, which is 0.9"),
        (("optimizer.name=adamw",), "replaces optimizer.beta1"),
        (("optimizer.name=prodigy",), "replaces optimizer.beta1"),
    ],
)
def test_schedule_free_refuses_momentum_beside_it(overrides, words):
    config = tiny_config("optimizer.schedule_free=0.9", *overrides)
    with pytest.raises(UserError, match=words):
        make_optimizer(config.optimizer, 0.0, optax.constant_schedule(1.0))


def test_clipping_bounds_the_gradient_before_the_decay():
    (got,) = directions("optimizer.momentum=0", gradients=[[30.0, 40.0]], clip=1.0)
    np.testing.assert_allclose(got, np.array([0.6, 0.8]) + 0.01 * W, rtol=1e-5)
