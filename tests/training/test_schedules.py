import jax
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.training.plan import make_training_plan
from cnn.training.schedules import SCHEDULES, after_warmup, make_schedule
from tests.conftest import tiny_config

PEAK = 0.1 * 16 / 256
TOTAL = 12


def rates(*overrides):
    config = tiny_config(*overrides)
    schedule = jax.jit(make_schedule(config.schedule, make_training_plan(config, 100, 1)))
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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one_cycle", ["schedule.warmup", "one_cycle", "30%"]),
        ("step", ["schedule.boundaries", "at least one"]),
    ],
)
def test_a_schedule_says_what_it_lacks(name, words):
    with pytest.raises(UserError) as error:
        rates(f"schedule.name={name}")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_schedule_of_ones_own_has_its_own_warmup(monkeypatch):
    def halved(schedule, plan):
        return after_warmup(plan, lambda t: 0.5 * plan.learning_rate, lambda t: 0.0 * t)

    monkeypatch.setitem(SCHEDULES._entries, "halved", halved)
    monkeypatch.setitem(SCHEDULES._reads, "halved", frozenset())
    got = rates("schedule.name=halved", "schedule.warmup=4 steps")
    np.testing.assert_allclose(got, PEAK * np.repeat([0, 0.5], [4, 8]))
