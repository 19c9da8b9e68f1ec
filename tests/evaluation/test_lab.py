"""The suites of the lab on a trained run, from the command line to the page."""

import json

import pytest

from cnn.evaluation.start import Request, start
from cnn.training.loop import train
from tests.conftest import tiny_config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "one"
    config = tiny_config(
        "train.duration=3 steps",
        "data.synthetic_examples=72,19",
        "model.padding=CIRCULAR",
        "model.downsample=aps",
    )
    train(config, str(workdir))
    return workdir


def measured(run, suite, overrides=()):
    """Returns the figures in the result file, and the page."""
    start(Request((str(run),), None, None, "test", suite, None, None, overrides))
    record = json.loads((run / "evaluation" / f"{suite}.json").read_text())
    assert record["complete"]
    return record["figures"], (run / "evaluation" / "eval.html").read_text()


def test_shift(run):
    figures, page = measured(run, "shift")
    assert figures["circular_grid"]["consistency"] == 1.0
    assert figures["all_shifts"]["stable"] == 1.0
    assert figures["all_shifts"]["count"] == figures["diagonal"]["count"] == 19
    assert "Accuracy along the diagonal" in page
    assert "Crops, corners per batch" in page
