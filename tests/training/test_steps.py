"""One update against a float64 NumPy one, and the identities that accumulation and devices keep."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from cnn.config.seeds import Seeds
from cnn.training.averages import Averaging
from cnn.training.losses import make_loss
from cnn.training.optimizer import at_rate
from cnn.training.steps import Recipe, make_eval_step, make_train_step

SHAPE, CLASSES, BATCH = (4, 4, 2), 3, 8


class Linear(nn.Module):
    """Global average pooling and a classifier: small enough to differentiate by hand."""

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(CLASSES, name="head")(x.mean((1, 2)))


def load(arrays, batch):
    return batch


def augment(key, images, labels):
    return images, jax.nn.one_hot(labels, CLASSES)


def recipe(**changes):
    settings = {
        "model": Linear(),
        "tx": at_rate(optax.identity(), lambda step: 0.5 / (step + 1)),
        "load": load,
        "augment": augment,
    }
    return Recipe(**(settings | changes))


def smoothed(smoothing):
    train = {"loss": "softmax_cross_entropy", "label_smoothing": smoothing}
    return make_loss(ConfigDict(train))


def run(recipe, steps=1):
    state = recipe.init(jnp.uint32(0), SHAPE)
    first, states = state, []
    update = jax.jit(make_train_step(recipe))
    for _ in range(steps):
        state, sums = update(state, Seeds.same(jnp.uint32(0)), (), make_batch())
        states.append(state)
    return first, states, sums


def make_batch():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH, *SHAPE)).astype(np.float32)
    return {"input": images, "label": np.arange(BATCH, dtype=np.int32) % CLASSES}


def by_hand(params, smoothing=0.0):
    """Returns loss, gradient of kernel and bias, and correct answers, in float64."""
    batch = make_batch()
    x = batch["input"].astype(np.float64).mean((1, 2))
    targets = np.eye(CLASSES)[batch["label"]]
    smooth = targets * (1 - smoothing) + smoothing / CLASSES
    logits = x @ np.asarray(params["kernel"], np.float64) + np.asarray(params["bias"])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    residual = (p - smooth) / BATCH
    loss = -(smooth * np.log(p)).sum(1)
    return loss.sum(), x.T @ residual, residual.sum(0), (p.argmax(1) == batch["label"]).sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("accumulation", [1, 4])
def test_one_update_is_that_of_numpy(smoothing, accumulation):
    first, (state,), sums = run(recipe(loss=smoothed(smoothing), accumulation=accumulation))
    before, after = first.params["head"], state.params["head"]
    loss, kernel, bias, correct = by_hand(before, smoothing)
    np.testing.assert_allclose(sums["loss"], loss, rtol=1e-6)
    assert (sums["correct"], sums["count"]) == (correct, BATCH)
    np.testing.assert_allclose(after["kernel"], before["kernel"] - 0.5 * kernel, atol=1e-6)
    np.testing.assert_allclose(after["bias"], before["bias"] - 0.5 * bias, atol=1e-6)


@pytest.mark.parametrize("accumulation", [1, 4])
def test_views_are_compared_and_the_first_is_learned(accumulation):
    def three(key, images, labels):
        views = jnp.stack([images, 2 * images, -images], axis=1)
        return views, jax.nn.one_hot(labels, CLASSES)

    changes = dict(augment=three, consistency=12.0, accumulation=accumulation)
    first, (state,), sums = run(recipe(**changes))
    x = make_batch()["input"].mean((1, 2))

    def loss(head):
        z = jnp.stack([x, 2 * x, -x], axis=1) @ head["kernel"] + head["bias"]
        p = jax.nn.softmax(z)
        apart = (p * jnp.log(p / p.mean(1, keepdims=True))).sum(-1).mean(-1)
        labels = make_batch()["label"]
        return optax.softmax_cross_entropy_with_integer_labels(z[:, 0], labels) + 12.0 * apart

    head = first.params["head"]
    gradient = jax.grad(lambda head: loss(head).mean())(head)
    np.testing.assert_allclose(sums["loss"], loss(head).sum(), rtol=1e-5)
    after = jax.tree.map(lambda p, g: p - 0.5 * g, head, gradient)
    for name in ("kernel", "bias"):
        np.testing.assert_allclose(state.params["head"][name], after[name], atol=1e-6)


def test_the_step_counts_updates_and_drives_the_rate():
    first, states, _ = run(recipe(), steps=3)
    assert [int(s.step) for s in (first, *states)] == [0, 1, 2, 3]
    _, kernel, _, _ = by_hand(states[1].params["head"])
    wanted = states[1].params["head"]["kernel"] - 0.5 / 3 * kernel
    np.testing.assert_allclose(states[2].params["head"]["kernel"], wanted, atol=1e-6)


def test_the_average_follows_its_formula():
    first, states, _ = run(recipe(averaging=Averaging(0.3)), steps=3)
    average = np.asarray(first.params["head"]["kernel"], np.float64)
    for step, state in enumerate(states, 1):
        kept = min(0.3, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * np.asarray(state.params["head"]["kernel"])
        np.testing.assert_allclose(state.ema["params"]["head"]["kernel"], average, rtol=1e-5)
        assert state.variables() is state.ema


@pytest.mark.parametrize("ramp", ["none", "cubic", "updates"])
def test_look_ahead_goes_on_from_the_average(ramp):
    """After two steps of SGD each, as in Algorithm 1 of Zhang et al. 2019, in NumPy."""
    averaging = Averaging(0.6, ramp, lookahead=2, total_steps=7)
    first, states, _ = run(recipe(averaging=averaging), steps=7)
    slow = fast = first.params["head"]
    for step, state in enumerate(states, 1):
        _, kernel, bias, _ = by_hand(fast)
        rate = 0.5 / step
        fast = {"kernel": fast["kernel"] - rate * kernel, "bias": fast["bias"] - rate * bias}
        if step % 2 == 0:
            updates = step // 2
            kept = {
                "none": 0.36,
                "cubic": 0.36 * (step / 7) ** 3,
                "updates": min(0.36, (1 + updates) / (10 + updates)),
            }[ramp]
            slow = fast = {n: kept * slow[n] + (1 - kept) * fast[n] for n in fast}
        for name in fast:
            np.testing.assert_allclose(state.params["head"][name], fast[name], atol=1e-6)
            np.testing.assert_allclose(
                state.variables()["params"]["head"][name], slow[name], atol=1e-6
            )


def test_look_ahead_averages_running_statistics_too():
    averaging = Averaging(0.6, "none", lookahead=2)
    _, states, _ = run(recipe(model=Normed(0), averaging=averaging), steps=2)
    mean = make_batch()["input"].mean((0, 1, 2))
    one = 0.1 * mean
    two = 0.9 * one + 0.1 * mean
    for variables in (states[1].variables(), states[1].current()):
        found = variables["batch_stats"]["norm"]["mean"]
        np.testing.assert_allclose(found, 0.64 * two, rtol=1e-4, atol=1e-7)


class Normed(nn.Module):
    """One batch norm over ghost groups of `group` examples."""

    group: int

    @nn.compact
    def __call__(self, x, train):
        norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm")
        return nn.Dense(CLASSES, name="head")(norm(x).mean((1, 2)))


def test_accumulated_batch_statistics_are_the_mean_over_micro_batches():
    first, (state,), _ = run(recipe(model=Normed(0), accumulation=4))
    images = make_batch()["input"].astype(np.float64)
    means = np.stack([images[i::4].mean((0, 1, 2)) for i in range(4)])
    old = np.asarray(first.collections["batch_stats"]["norm"]["mean"])
    wanted = 0.9 * old + 0.1 * means.mean(0)
    np.testing.assert_allclose(state.collections["batch_stats"]["norm"]["mean"], wanted, atol=1e-6)


class Logits(nn.Module):
    """Hands its images on as logits."""

    @nn.compact
    def __call__(self, x, train):
        return x


def test_outcomes_of_ties_and_nans():
    nan = np.nan
    logits = jnp.array([[1.0, 2, 3], [2, 2, 2], [2, 2, 2], [5, 1, 5], [nan, nan, nan], [1, 0, nan]])
    label = jnp.array([2, 0, 2, 2, 1, 0])
    step = jax.jit(make_eval_step(Logits(), load, lambda x: x))
    got = step({}, (), {"input": logits, "label": label})
    assert got["prediction"].tolist()[:4] == [2, 0, 0, 0]
    assert got["rank"].tolist() == [0, 0, 2, 1, 3, 1]
    wanted = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    np.testing.assert_allclose(got["loss"], wanted, rtol=1e-6)


def test_dropout_differs_by_step_and_micro_batch_and_repeats_by_seed():
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            x = nn.Dropout(0.5, deterministic=not train)(x.mean((1, 2)))
            return nn.Dense(CLASSES, name="head", bias_init=nn.initializers.ones)(x)

    noisy = partial(
        recipe, model=Noisy(), tx=at_rate(optax.set_to_zero(), optax.constant_schedule(0.0))
    )
    _, _, last = run(noisy(), steps=2)
    _, _, again = run(noisy(), steps=2)
    _, _, other = run(noisy(), steps=1)
    assert last["loss"] == again["loss"]
    assert last["loss"] != other["loss"]
