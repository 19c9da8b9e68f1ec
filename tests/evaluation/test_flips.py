"""Prediction flips counted by hand, and between two runs."""

import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.flips import flips_section, measure_flips, prediction_flips
from cnn.evaluation.suite import MeasuredRun, Progress
from cnn.evaluation.suites import chosen
from cnn.training.loop import train
from tests.conftest import tiny_config


def outcomes(predictions, labels):
    return {"prediction": np.array(predictions), "label": np.array(labels)}


def test_shares_counted_by_hand():
    labels = [0, 0, 1, 1, 2, 2, 2, 2]
    before = outcomes([0, 0, 1, 0, 2, 1, 0, 1], labels)
    after = outcomes([0, 1, 1, 1, 0, 1, 1, 2], labels)
    assert prediction_flips(before, after) == {
        "count": 8,
        "negative": 2 / 8,
        "positive": 2 / 8,
        "disagreement": 5 / 8,
        "both_wrong": 2 / 8,
    }


def test_runs_about_other_examples_are_refused():
    with pytest.raises(UserError, match="different test examples"):
        prediction_flips(outcomes([0], [0]), outcomes([0], [1]))


def test_between_two_runs(tmp_path):
    folders = [tmp_path / name for name in ("a", "b")]
    for seed, folder in enumerate(folders):
        train(tiny_config("train.duration=2 steps", f"seed={seed}"), str(folder))
    run = open_run(str(folders[0]))
    progress = Progress(tmp_path)
    found = measure_flips(run, "test", progress, against=str(folders[1]))
    here, there = (open_run(str(f)).outcomes("test") for f in folders)
    gain = (here["prediction"] == here["label"]).mean() - (
        there["prediction"] == there["label"]
    ).mean()
    assert found["positive"] - found["negative"] == pytest.approx(gain)
    same = measure_flips(run, "test", progress, against=str(folders[0]))
    assert same["disagreement"] == same["negative"] == same["positive"] == 0
    assert str(folders[1]) in flips_section([MeasuredRun("a", found, tmp_path)])
    with pytest.raises(UserError, match="'flips' needs against"):
        chosen("flips")
    assert "flips" not in {suite.name for suite in chosen("all")}
