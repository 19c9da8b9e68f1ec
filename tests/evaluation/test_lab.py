"""The suites of the lab on a trained run, from the command line to the page."""

import json

import pytest

from cnn.config.errors import UserError
from cnn.evaluation.calibration.section import calibration_section
from cnn.evaluation.calibration.suite import measure_calibration
from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.results import ResultFile, read_record
from cnn.evaluation.start import EvaluationRequest, start
from cnn.evaluation.suite import MeasuredRun, Progress
from cnn.evaluation.suites import chosen
from cnn.training.loop import train
from cnn.training.run_folder import RunFolder
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
    """Returns the results in the result file, and the page."""
    start(EvaluationRequest((str(run),), None, None, "test", suite, None, None, overrides))
    [asked] = chosen(suite)
    record = read_record(ResultFile.of(RunFolder(run), asked, 3, "test").path)
    assert record["complete"]
    return record["results"], (run / "evaluation" / "eval.html").read_text()


def test_shift(run):
    results, page = measured(run, "shift")
    assert results["circular_grid"]["consistency"] == 1.0
    assert results["all_shifts"]["stable"] == 1.0
    assert results["all_shifts"]["count"] == results["diagonal"]["count"] == 19
    assert "Accuracy along the diagonal" in page
    assert "Random crops, offsets per batch" in page
    fewer, _ = measured(run, "shift(images=5, exhaustive=2, max_shift=1, parts=2, passes=3)")
    assert fewer["circular_grid"]["count"] == 5
    assert fewer["all_shifts"]["count"] == 2
    assert len(fewer["circular_grid"]["shifts"]) == 9
    assert len(fewer["fractional_grid"]["shifts"]) == 4
    assert "3 passes" in fewer["circular_per_image"]["about"]
    small, _ = measured(run, "shift(images=1, budget=63, max_shift=1, parts=1, passes=1)")
    assert "64 per image are over the budget of 63" in json.dumps(small)
    assert "exhaustive" not in json.dumps(
        measured(run, "shift(images=1, exhaustive=0, max_shift=1, parts=1, passes=1)")[0]
    )


def test_equivariance(run):
    results, page = measured(run, "equivariance")
    assert results["count"] == 19
    strides = {name: layer["stride"] for name, layer in results["layers"].items()}
    assert strides == {"stage1_block1": 2, "stage2_block1": 4}
    assert "stage2_block1" in page


def test_calibration(run):
    results, page = measured(run, "calibration")
    assert results["as_trained"]["count"] == 19
    assert results["fitted_on"] == 10
    assert results["scaled"]["accuracy"] == results["as_trained"]["accuracy"]
    assert "Reliability diagram" in page


def test_calibration_without_validation_says_why(run, tmp_path):
    opened = open_run(str(run))
    with opened.evaluator.config.data.unlocked():
        opened.evaluator.config.data.validation = "0%"
    results = measure_calibration(opened, "test", Progress(tmp_path))
    assert results["temperature"] is None
    assert "no validation split to fit a temperature on" in results["why"]
    assert results["why"] in calibration_section([MeasuredRun("one", results, tmp_path)])


def test_corruption(run):
    results, page = measured(run, "corruption")
    assert len(results["errors"]) == 15
    assert results["count"] == 19
    assert results["mce"] is None
    assert "CIFAR-C" in results["source"]
    assert "jpeg compression" in page
    fewer, _ = measured(run, "corruption(images=4, severities=(1, 5))")
    assert fewer["count"] == 4
    assert fewer["severities"] == [1, 5]
    assert {len(errors) for errors in fewer["errors"].values()} == {2}


def test_corruption_of_a_folder_without_the_files(run, tmp_path):
    with pytest.raises(UserError, match=r"is missing gaussian_noise\.npy"):
        measured(run, "corruption", (f"evaluation.cifar_c={tmp_path}",))


def test_all_suites_put_their_figures_on_one_page(run):
    page = (run / "evaluation" / "eval.html").read_text()
    for title in ("Shifts", "Equivariance", "Calibration", "Corruptions"):
        assert f"<h2>{title}</h2>" in page
