import jax.numpy as jnp
import numpy as np
import pytest

from cnn.training.metrics import NonFiniteLossError, RunningMetrics, summarize


def sums(loss, correct=1.0, count=4.0):
    return {"loss": jnp.float32(loss), "correct": jnp.float32(correct), "count": jnp.float32(count)}


def test_a_window_is_a_mean_over_examples_not_over_steps():
    window = RunningMetrics()
    window.add(1, sums(8.0, correct=4, count=8))
    window.add(2, sums(1.0, correct=0, count=2))
    assert window.take() == {"loss": 0.9, "accuracy": 0.4}
    window.add(3, sums(2.0, correct=2, count=2))
    assert window.take() == {"loss": 1.0, "accuracy": 1.0}


def test_a_window_goes_on_from_its_totals():
    straight, first = RunningMetrics(), RunningMetrics()
    for window in (straight, first):
        for step in range(3):
            window.add(step, sums(0.1 * step))
    second = RunningMetrics(first.totals())
    for window in (straight, second):
        window.add(3, sums(0.7))
    assert straight.take() == second.take()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_first_step_without_a_finite_loss_is_named(bad):
    window = RunningMetrics()
    for step, loss in enumerate([1.0, bad, bad], 5):
        window.add(step, sums(loss))
    with pytest.raises(NonFiniteLossError, match="at step 6"):
        window.take()


def test_the_summary_against_counting():
    rng = np.random.default_rng(0)
    names = tuple("abcdefg")
    outcomes = {
        "label": rng.integers(0, 6, 101).astype(np.int32),  # no example of "g"
        "prediction": rng.integers(0, 7, 101).astype(np.int32),
        "rank": rng.integers(0, 7, 101).astype(np.int32),
        "loss": rng.random(101).astype(np.float32),
    }
    got = summarize(outcomes, names)
    hits = [p == t for p, t in zip(outcomes["prediction"], outcomes["label"], strict=True)]
    assert got["count"] == 101
    assert got["accuracy"] == sum(hits) / 101
    assert got["top5_accuracy"] == sum(r < 5 for r in outcomes["rank"]) / 101
    assert got["loss"] == pytest.approx(sum(map(float, outcomes["loss"])) / 101, rel=1e-12)
    assert got["accuracy_per_class"]["g"] is None
    for row, name in enumerate(names[:-1]):
        of_class = [h for h, t in zip(hits, outcomes["label"], strict=True) if t == row]
        assert got["accuracy_per_class"][name] == sum(of_class) / len(of_class)
        for column in range(7):
            both = (outcomes["label"] == row) & (outcomes["prediction"] == column)
            assert got["confusion"][row][column] == both.sum()
    assert "top5_accuracy" not in summarize({k: v % 3 for k, v in outcomes.items()}, names[:3])
