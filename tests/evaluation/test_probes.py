"""Probes of pooled features: by hand, at the optimum, and through the command."""

import json

import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.probes.linear import fit_linear
from cnn.evaluation.probes.neighbors import nearest_classes
from cnn.evaluation.probes.pooled import pooled_features
from cnn.evaluation.start import EvaluationRequest, start
from cnn.evaluation.suite import Progress
from cnn.training.loop import train
from tests.conftest import tiny_config


def examples(count, features, classes, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, features)).astype(np.float32), rng.integers(0, classes, count)


def test_neighbours_vote_by_their_cosine():
    train, labels = examples(60, 5, 3, 0)
    test, _ = examples(300, 5, 3, 1)
    found = nearest_classes(train, labels, test, 3, 7, 0.5)
    for x, prediction in zip(test.astype(np.float64), found, strict=True):
        cosine = train @ x / np.linalg.norm(train, axis=1) / np.linalg.norm(x)
        votes = np.zeros(3)
        for place in np.argsort(-cosine)[:7]:
            votes[labels[place]] += np.exp(cosine[place] / 0.5)
        assert votes[prediction] >= votes.max() * (1 - 1e-5)


def test_one_neighbour_is_the_example_itself():
    train, labels = examples(40, 6, 4, 2)
    np.testing.assert_array_equal(nearest_classes(train, labels, 3 * train, 4, 1, 0.07), labels)


@pytest.mark.parametrize("l2", [1e-2, 1.0])
def test_the_linear_classifier_is_at_the_optimum(l2):
    x, labels = examples(80, 6, 3, 3)
    kernel, bias, converged = fit_linear(x, labels, 3, l2, 500)
    assert converged
    logits = x.astype(np.float64) @ kernel + bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    difference = (p - np.eye(3)[labels]) / len(x)
    np.testing.assert_allclose(x.T @ difference + l2 * kernel, 0, atol=2e-4)
    np.testing.assert_allclose(difference.sum(0), 0, atol=2e-4)


def test_separable_classes_are_separated():
    rng = np.random.default_rng(4)
    labels = np.arange(60) % 3
    x = np.float32(np.eye(3)[labels] * 4 + rng.normal(size=(60, 3)) * 0.2)
    kernel, bias, _ = fit_linear(x, labels, 3, 1e-4, 200)
    np.testing.assert_array_equal((x @ kernel + bias).argmax(1), labels)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    train(tiny_config("train.duration=6 steps"), str(folder))
    return folder


def test_features_are_what_the_classifier_sees(workdir):
    run = open_run(str(workdir))
    learned, shown = pooled_features(run, "test", 20, Progress(workdir))
    assert (len(learned.labels), len(shown.labels)) == (20, 37)
    head = run.variables["params"]["head"]["classifier"]
    logits = shown.features @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    np.testing.assert_array_equal(logits.argmax(1), run.outcomes("test")["prediction"])
    with pytest.raises(UserError, match="a probe is trained on the training split"):
        pooled_features(run, "train", 20, Progress(workdir))


def test_both_are_suites(workdir):
    suite = "knn(k=3),linear_probe(iterations=50)"
    start(EvaluationRequest((str(workdir),), None, None, "test", suite, None, None, ()))
    for name, metric in (("knn", "knn_accuracy"), ("linear_probe", "linear_probe_accuracy")):
        [file] = (workdir / "evaluation" / name).glob("*.json")
        record = json.loads(file.read_text())
        found = record.get("results", record)
        assert 0 <= found[metric] <= 1
        # 72 examples, of which 10 are for validation.
        assert (found["count"], found["train_count"]) == (37, 62)
    page = (workdir / "evaluation" / "eval.html").read_text()
    assert "k-nearest neighbours" in page
    assert "Linear probe" in page
    with pytest.raises(UserError, match="k=500 of 'knn' exceeds the 62 training examples"):
        start(EvaluationRequest((str(workdir),), None, None, "test", "knn(k=500)", None, None, ()))
