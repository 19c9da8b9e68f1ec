"""Calibration against loops in float64, and temperatures that are known."""

import math

import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.evaluation.calibration import scores
from cnn.evaluation.calibration.scores import CalibrationTally, calibration, fit_temperature
from cnn.evaluation.calibration.section import reliability_diagram
from cnn.evaluation.calibration.suite import logits_of
from tests.evaluation.models import function_under_test, random_split

BINS = 15


def by_loops(logits, labels):
    """Returns NLL, Brier, and ECE with bins of equal width and of equal mass."""
    nll = brier = 0.0
    pairs = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total = math.fsum(math.exp(v) for v in row)
        p = [math.exp(v) / total for v in row]
        nll -= math.log(p[label])
        brier += sum((q - (k == label)) ** 2 for k, q in enumerate(p))
        pairs.append((max(p), p.index(max(p)) == label))
    n = len(pairs)
    width = 0.0
    for b in range(BINS):
        members = [m for m in pairs if b / BINS < m[0] <= (b + 1) / BINS]
        width += _gap(members) * len(members) / n
    ordered, mass, start = sorted(pairs, key=lambda m: m[0]), 0.0, 0
    for b in range(BINS):
        size = n // BINS + (b < n % BINS)
        mass += _gap(ordered[start : start + size]) * size / n
        start += size
    return nll / n, brier / n, width, mass


def _gap(members):
    if not members:
        return 0.0
    accuracy = sum(hit for _, hit in members) / len(members)
    return abs(accuracy - sum(c for c, _ in members) / len(members))


@pytest.fixture(scope="module")
def answers():
    rng = np.random.default_rng(0)
    return 2 * rng.standard_normal((203, 5)), rng.integers(0, 5, 203)


def test_agrees_with_loops(answers):
    results = calibration(*answers)
    got = [results[name] for name in ("nll", "brier", "ece", "ece_equal_mass")]
    np.testing.assert_allclose(got, by_loops(*answers), rtol=1e-12)
    assert sum(results["equal_width"]["counts"]) == sum(results["equal_mass"]["counts"]) == 203
    assert max(results["equal_mass"]["counts"]) - min(results["equal_mass"]["counts"]) <= 1


def test_batches_add_up_and_a_file_will_do(answers, tmp_path, monkeypatch):
    logits, labels = answers
    tally, whole = CalibrationTally(1.3), calibration(*answers, 1.3)
    for start in range(0, 203, 50):
        tally.add(logits[start : start + 50], labels[start : start + 50])
    found = tally.summary()
    for name in ("nll", "brier", "ece", "ece_equal_mass", "accuracy"):
        assert found[name] == pytest.approx(whole[name], rel=1e-12)
    assert found["equal_mass"]["counts"] == whole["equal_mass"]["counts"]
    stored = np.memmap(tmp_path / "logits", np.float64, "w+", shape=logits.shape)
    stored[:] = logits
    monkeypatch.setattr(scores, "ROWS", 64)
    assert fit_temperature(stored, labels) == pytest.approx(fit_temperature(*answers))


def test_known_values():
    # Confidence 0.8 in all of 10 examples, of which 6 are right.
    logits = np.log(np.array([[0.8, 0.2]] * 10))
    results = calibration(logits, np.array([0] * 6 + [1] * 4))
    assert results["ece"] == pytest.approx(0.2)
    assert results["brier"] == pytest.approx(0.6 * 0.08 + 0.4 * 1.28)
    certain = calibration(np.array([[1e3, 0.0]]), np.array([0]))
    assert (certain["ece"], certain["nll"], certain["brier"]) == (0, 0, 0)
    # A confidence on an edge belongs to the bin below it.
    assert calibration(np.zeros((1, 3)), np.array([0]))["equal_width"]["counts"][4] == 1


def test_fitted_temperature_is_the_one_that_made_the_labels():
    rng = np.random.default_rng(1)
    logits = 2 * rng.standard_normal((20_000, 4))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (p.cumsum(1) < rng.random((20_000, 1))).sum(1)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)
    assert calibration(3 * logits, labels, 3.0)["ece"] < 0.02
    assert calibration(3 * logits, labels)["ece"] > 0.1


def test_temperature_minimises_the_loss_and_changes_no_prediction(answers):
    logits, labels = answers
    temperature = fit_temperature(logits, labels)
    best = calibration(logits, labels, temperature)
    for factor in (0.9, 1.1):
        assert best["nll"] < calibration(logits, labels, factor * temperature)["nll"]
    assert best["accuracy"] == calibration(logits, labels)["accuracy"]


def test_no_example_to_fit_on():
    with pytest.raises(UserError, match=r"train with data\.validation"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, int))


def test_logits_of_a_split_are_those_of_its_examples():
    split = random_split(11, 4)
    found = list(logits_of(function_under_test(lambda v, x: x.mean((1, 2)), split, 4)))
    assert [seen for seen, _, _ in found] == [4, 8, 11]
    logits, labels = (np.concatenate([f[i] for f in found]) for i in (1, 2))
    images, expected = split.read(np.arange(11))
    np.testing.assert_allclose(logits, images.mean((1, 2)) / 255, rtol=1e-5)
    np.testing.assert_array_equal(labels, expected)


def test_outputs_that_are_not_finite_are_a_network_that_diverged():
    broken = function_under_test(lambda v, x: x.mean((1, 2)) / 0.0, random_split(3, 4), 4)
    with pytest.raises(UserError, match="has diverged"):
        list(logits_of(broken))


def test_diagram_leaves_empty_bins_out(answers):
    results = calibration(*answers)["equal_width"]
    drawing = str(reliability_diagram(results))
    assert drawing.count("examples: confidence") == sum(c > 0 for c in results["counts"])
