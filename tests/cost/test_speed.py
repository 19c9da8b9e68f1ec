"""What is measured, with a clock of our own: speeds themselves are no test."""

import itertools

import jax
import numpy as np
import pytest

from cnn.cost import speed
from cnn.cost.timing import seconds_of
from cnn.data import open_dataset
from cnn.training.assembly import make_evaluator
from tests.conftest import tiny_config


@pytest.fixture
def metrics(monkeypatch):
    scale = itertools.count(1)

    def sample(function):
        # Twice: a training step consumes its state, and must go on with the new one.
        assert seconds_of(function) > 0
        assert seconds_of(function) > 0
        return list(np.arange(1, 102) * 10.0 ** next(scale))

    monkeypatch.setattr(speed, "time_calls", sample)
    config = tiny_config("mesh.devices=2", "train.ema_decay=0.9")
    evaluator = make_evaluator(config, open_dataset(config.data))
    reported = []
    found = speed.measure_speed(
        evaluator, evaluator.new_state().variables(), lambda *done: reported.append(done)
    )
    assert reported == [(1, 3), (2, 3), (3, 3)]
    return found


def test_metrics_are_of_one_device_and_of_the_config_s_batches(metrics):
    assert metrics["throughput"] == {
        "images_per_second": 8 / 510,
        "batch_size": 8,
        "calls": 101,
    }
    assert metrics["latency"] == {"median": 5100, "p99": 10000, "calls": 101}
    assert metrics["train_step"] == {
        "median": 51000,
        "p99": 100000,
        "calls": 101,
        "batch_size": 8,
    }
    assert metrics["device"] == jax.devices()[0].device_kind
    # At least the images and the parameters have to be somewhere.
    assert metrics["planned_bytes"]["training"] > 8 * 8 * 8 * 3
    assert metrics["planned_bytes"]["evaluation"] > 8 * 8 * 8 * 3
    assert metrics["peak_bytes"] is None or metrics["peak_bytes"] > 0
