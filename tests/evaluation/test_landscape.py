"""Directions are as long as the network's filters, and the middle of the grid is the network."""

import jax
import numpy as np
import pytest

from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.landscape import filter_normalized, landscape_section, measure_landscape
from cnn.evaluation.suite import MeasuredRun, Progress
from cnn.training.loop import train
from cnn.training.metrics import summarize
from tests.conftest import tiny_config


def test_filters_of_a_direction_are_as_long_as_the_network_s():
    rng = np.random.default_rng(0)
    params = {
        "conv": {"kernel": rng.normal(size=(3, 3, 2, 5)).astype(np.float32)},
        "dense": {"kernel": rng.normal(size=(7, 4)).astype(np.float32), "bias": np.ones(4)},
    }
    one, other = (filter_normalized(jax.random.key(seed), params) for seed in (0, 1))
    for layer in ("conv", "dense"):
        kernel = params[layer]["kernel"]
        axes = tuple(range(kernel.ndim - 1))
        wanted = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), axis=0)
        for direction in (one, other):
            lengths = np.sqrt(np.square(np.asarray(direction[layer]["kernel"])).sum(axes))
            np.testing.assert_allclose(lengths, wanted, rtol=1e-5)
        assert np.abs(one[layer]["kernel"] - other[layer]["kernel"]).max() > 0.1
    np.testing.assert_array_equal(one["dense"]["bias"], 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "one"
    train(tiny_config("train.duration=4 steps"), str(workdir))
    return open_run(str(workdir))


def test_the_middle_is_the_network_and_other_points_are_other_weights(run, tmp_path):
    found = measure_landscape(run, "test", Progress(tmp_path), images=0, points=3, radius=0.5)
    whole = summarize(run.outcomes("test"), run.evaluator.dataset.class_names)
    assert found["coordinates"] == [-0.5, 0.0, 0.5]
    assert found["count"] == whole["count"]
    assert found["loss"][1][1] == pytest.approx(whole["loss"], rel=1e-6)
    assert found["accuracy"][1][1] == whole["accuracy"]
    # A corner, computed again.
    keys = jax.random.split(jax.random.key(0))
    params = run.variables["params"]
    first, second = (filter_normalized(key, params) for key in keys)
    corner = jax.tree.map(lambda p, a, b: p - 0.5 * a + 0.5 * b, params, first, second)
    split = run.evaluator.dataset.test
    images, labels = split.read(np.arange(len(split)))
    prepared = run.evaluator.dataset.signal.prepare(images)
    logits = run.evaluator.model.apply(run.variables | {"params": corner}, prepared, False)
    losses = -np.asarray(jax.nn.log_softmax(logits))[np.arange(len(labels)), labels]
    assert found["loss"][0][2] == pytest.approx(losses.mean(), rel=1e-4)
    text = landscape_section([MeasuredRun("one", found, tmp_path)])
    assert "+0.50" in text
    assert measure_landscape(run, "test", Progress(tmp_path), points=1)["coordinates"] == [0.0]
