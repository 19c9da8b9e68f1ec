"""The suites of the lab on a trained run, from the command line to the page."""

import json

import pytest

from cnn.config.errors import UserError
from cnn.evaluation import calibration
from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.start import Request, start
from cnn.evaluation.suite import Measured, Progress
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
    name = suite.partition("(")[0]
    record = json.loads((run / "evaluation" / f"{name}.json").read_text())
    assert record["complete"]
    return record["figures"], (run / "evaluation" / "eval.html").read_text()


def test_shift(run):
    figures, page = measured(run, "shift")
    assert figures["circular_grid"]["consistency"] == 1.0
    assert figures["all_shifts"]["stable"] == 1.0
    assert figures["all_shifts"]["count"] == figures["diagonal"]["count"] == 19
    assert "Accuracy along the diagonal" in page
    assert "Crops, corners per batch" in page
    fewer, _ = measured(run, "shift(images=5, exhaustive=2, reach=1, parts=2, passes=3)")
    assert fewer["circular_grid"]["count"] == 5
    assert fewer["all_shifts"]["count"] == 2
    assert len(fewer["circular_grid"]["shifts"]) == 9
    assert len(fewer["fractional_grid"]["shifts"]) == 4
    assert "3 passes" in fewer["circular_per_image"]["about"]
    record = json.loads((run / "evaluation" / "shift.json").read_text())
    assert record["options"] == dict(
        images=5, exhaustive=2, budget=2**16, reach=1, parts=2, passes=3
    )
    small, _ = measured(run, "shift(images=1, budget=63, reach=1, parts=1, passes=1)")
    assert "64 an image are over the budget of 63" in json.dumps(small)
    assert "exhaustive" not in json.dumps(
        measured(run, "shift(images=1, exhaustive=0, reach=1, parts=1, passes=1)")[0]
    )


def test_equivariance(run):
    figures, page = measured(run, "equivariance")
    assert figures["count"] == 19
    strides = {name: layer["stride"] for name, layer in figures["layers"].items()}
    assert strides == {"stage1_block1": 2, "stage2_block1": 4}
    assert "stage2_block1" in page


def test_calibration(run):
    figures, page = measured(run, "calibration")
    assert figures["as_trained"]["count"] == 19
    assert figures["fitted_on"] == 10
    assert figures["scaled"]["accuracy"] == figures["as_trained"]["accuracy"]
    assert "Reliability diagram" in page


def test_calibration_without_validation_says_why(run, tmp_path):
    opened = open_run(str(run))
    with opened.evaluator.config.data.unlocked():
        opened.evaluator.config.data.validation = "0%"
    figures = calibration.measure(opened, "test", Progress(tmp_path))
    assert figures["temperature"] is None
    assert "no validation part to fit a temperature on" in figures["why"]
    assert figures["why"] in calibration.section([Measured("one", figures, tmp_path)])


def test_corruption(run):
    figures, page = measured(run, "corruption")
    assert len(figures["errors"]) == 15
    assert figures["count"] == 19
    assert figures["mce"] is None
    assert "CIFAR-C" in figures["source"]
    assert "jpeg compression" in page
    fewer, _ = measured(run, "corruption(images=4, severities=(1, 5))")
    assert fewer["count"] == 4
    assert fewer["severities"] == [1, 5]
    assert {len(errors) for errors in fewer["errors"].values()} == {2}


def test_corruption_of_a_folder_without_the_files(run, tmp_path):
    with pytest.raises(UserError, match=r"lacks gaussian_noise\.npy"):
        measured(run, "corruption", (f"evaluation.cifar_c={tmp_path}",))


def test_all_suites_put_their_figures_on_one_page(run):
    page = (run / "evaluation" / "eval.html").read_text()
    for title in ("Shifts", "Equivariance", "Calibration", "Corruptions"):
        assert f"<h2>{title}</h2>" in page
