"""Test sets that hold some of a network's classes, matched by name."""

import numpy as np
import pytest
from PIL import Image

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.present_classes import measure_present_classes, restricted
from cnn.evaluation.suite import Progress
from cnn.training.loop import train
from tests.conftest import tiny_config


def test_counted_by_hand():
    logits = np.array([[1, 9, 2, 0], [3, 8, 5, 0], [7, 9, 6, 0], [0, 1, 2, 9]], np.float32)
    # Of the classes 0 and 2 that are there: 2, 2, 0, 2.
    assert restricted(logits, np.array([2, 0, 0, 2])) == {
        "count": 4,
        "classes": 4,
        "present": 2,
        "restricted_accuracy": 0.75,
        "accuracy": 0.0,
    }


def arrays(file, names, classes, count=20):
    rng = np.random.default_rng(len(names))
    images, labels = rng.integers(0, 256, (count, 8, 8, 3), np.uint8), np.arange(count) % classes
    fields = {f"{split}_image": images for split in names}
    fields |= {f"{split}_label": labels for split in names}
    return file, fields


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    file, fields = arrays(folder / "own.npz", ("train", "test"), 4)
    np.savez(file, class_names=np.array(["ant", "bee", "cat", "dog"]), **fields)
    config = tiny_config(
        "data.source=npz", f"data.path={file}", "data.validation=0%", "train.duration=2 steps"
    )
    train(config, str(folder / "run"))
    return folder / "run"


def test_another_test_set_is_matched_by_name(workdir, tmp_path):
    file, fields = arrays(tmp_path / "other.npz", ("test",), 2)
    np.savez(file, class_names=np.array(["dog", "bee"]), **fields)
    run = open_run(str(workdir), overrides=(f"data.path={file}",))
    _, labels = run.evaluator.dataset.test.read(np.arange(20))
    assert labels.tolist() == [3, 1] * 10
    found = measure_present_classes(run, "test", Progress(tmp_path))
    assert (found["classes"], found["present"], found["count"]) == (4, 2, 20)
    outcomes = run.outcomes("test")
    assert found["accuracy"] == (outcomes["prediction"] == outcomes["label"]).mean()
    assert found["restricted_accuracy"] >= found["accuracy"]
    assert run.changes == {"data.path": str(file)}


def test_a_folder_of_class_folders_is_a_test_set(workdir, tmp_path):
    for name in ("dog", "bee"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(3):
            picture = Image.fromarray(np.full((8, 8, 3), 40 * i, np.uint8))
            picture.save(tmp_path / "set" / name / f"{i}.png")
    given = ("data.source=folder", f"data.path={tmp_path / 'set'}", "data.test_split=.")
    run = open_run(str(workdir), overrides=given)
    assert measure_present_classes(run, "test", Progress(tmp_path))["count"] == 6
    _, labels = run.evaluator.dataset.test.read(np.arange(6))
    assert sorted(labels.tolist()) == [1, 1, 1, 3, 3, 3]


def test_classes_that_the_network_does_not_know_are_refused(workdir, tmp_path):
    file, fields = arrays(tmp_path / "strange.npz", ("test",), 2)
    np.savez(file, class_names=np.array(["bee", "eel"]), **fields)
    with pytest.raises(UserError, match="'eel' is not among these"):
        open_run(str(workdir), overrides=(f"data.path={file}",)).split("test")
