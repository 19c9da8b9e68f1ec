"""Out-of-distribution scores against loops over all pairs, and the suite on noise and a file."""

import math

import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.ood.scores import auroc, false_positive_rate, max_probability, negative_energy
from cnn.evaluation.ood.section import ood_section
from cnn.evaluation.ood.suite import SUITE, measure_ood
from cnn.evaluation.suite import MeasuredRun, Progress
from cnn.training.loop import train
from tests.conftest import tiny_config

LOGITS = np.random.default_rng(0).normal(0, 3, (23, 4)).astype(np.float32)


def test_scores_are_the_formulas():
    for row, msp, energy in zip(
        LOGITS.tolist(), max_probability(LOGITS), negative_energy(LOGITS), strict=True
    ):
        total = math.fsum(math.exp(value) for value in row)
        assert msp == pytest.approx(math.exp(max(row)) / total)
        assert energy == pytest.approx(math.log(total))


def test_auroc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(1)
    # Few values, so that many are tied.
    known, unknown = rng.integers(0, 6, 31), rng.integers(0, 5, 17)
    pairs = [(k > u) + 0.5 * (k == u) for k in known for u in unknown]
    assert auroc(known, unknown) == pytest.approx(np.mean(pairs))
    assert auroc(np.array([2, 3]), np.array([0, 1])) == 1.0
    assert auroc(np.array([0, 1]), np.array([2, 3])) == 0.0
    assert auroc(np.ones(3), np.ones(5)) == 0.5


def test_false_positives_are_counted_where_95_percent_of_the_known_pass():
    known = np.arange(100.0)
    assert (known >= 5).mean() == 0.95
    assert false_positive_rate(known, np.array([4.9, 5.0, 50.0, 200.0])) == 0.75
    assert false_positive_rate(known, np.array([-1.0])) == 0.0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "one"
    train(tiny_config("train.duration=1 steps"), str(workdir))
    return open_run(str(workdir))


def test_the_suite_measures_noise_and_given_data(run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    file = tmp_path / "other.npz"
    np.savez(file, test_image=images, test_label=np.arange(6) % 2)
    results = measure_ood(run, "test", Progress(tmp_path), images=20, path=str(file))
    assert results["count"] == 20
    for metric in SUITE.metrics:
        assert 0 <= metric.find(results) <= 1
    # The split itself is no different from itself.
    text = ood_section([MeasuredRun("one", results, tmp_path)])
    assert "other.npz" in text
    assert "given" not in measure_ood(run, "test", Progress(tmp_path), images=5)


def test_data_that_does_not_fit_is_refused(run, tmp_path):
    with pytest.raises(UserError, match="no such folder or file"):
        measure_ood(run, "test", Progress(tmp_path), path=str(tmp_path / "none"))
    file = tmp_path / "large.npz"
    images = np.zeros((4, 9, 9, 3), np.uint8)
    np.savez(file, test_image=images, test_label=np.arange(4) % 2)
    with pytest.raises(UserError, match="9x9x3, and the network takes 8x8x3"):
        measure_ood(run, "test", Progress(tmp_path), path=str(file))
