"""The library: importing it costs nothing, and it answers as the commands do."""

import json
import pydoc
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnn
from cnn import api
from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.export.__main__ import main as export_main
from cnn.training.loop import train
from tests.conftest import REPOSITORY, tiny_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on a file beside it."""
    folder = tmp_path_factory.mktemp("library") / "run"
    made = open_dataset(tiny_config().data)
    arrays = {"class_names": made.class_names}
    for name, split in (("train", made.train), ("test", made.test)):
        arrays[f"{name}_image"], arrays[f"{name}_label"] = split.read(np.arange(len(split)))
    np.savez(folder.with_name("data.npz"), **arrays)
    path = f"data.path={folder.with_name('data.npz')}"
    train(tiny_config("log.trackers=", "data.source=npz", path), str(folder), quiet=True)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    return cnn.open_run(folder)


@pytest.fixture(scope="module")
def images(run):
    return run.checkpoint.split("test").read(np.arange(37))[0]


def test_importing_the_package_imports_nothing_else():
    code = "import sys, cnn; print({'jax', 'numpy', 'ml_collections'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
    assert set(api.__all__) == set(cnn.__all__) <= set(dir(cnn))
    listed = pydoc.render_doc(cnn, renderer=pydoc.plaintext)
    for name in api.__all__:
        assert name in cnn.__doc__
        assert re.search(rf"\b{name}\b.*\(", listed)
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        _ = cnn.predict


def test_a_network_is_built_by_name_with_checked_fields():
    network = cnn.build("resnet20", 7, downsample="max_blur(taps=3)")
    assert network.sites.main == "max_blur(taps=3)"
    assert network.head.num_classes == 7
    for fields, words in (
        ({"downsampl": "max"}, "no field 'downsampl'"),
        ({"downsample": "maxx"}, "did you mean 'max'"),
        ({"input_dropout": 0.5}, "no effect with model.name=resnet20"),
    ):
        with pytest.raises(UserError, match=words):
            cnn.build("resnet20", **fields)


def test_predictions_are_those_of_the_run(run, folder, images):
    stored = np.load(folder / "test_predictions.npz")
    predicted = run.predict(images)
    names = [run.class_names[i] for i in stored["prediction"]]
    assert list(predicted.labels) == names
    log_p = np.log(predicted.probabilities[np.arange(37), stored["label"]])
    np.testing.assert_allclose(-log_p, stored["loss"], rtol=1e-4)


def test_without_its_data_set_a_run_opens_predicts_and_is_exported(run, folder, images, tmp_path):
    data = folder.with_name("data.npz")
    data.rename(folder.with_name("elsewhere.npz"))
    try:
        alone = cnn.open_run(folder)
        assert alone.class_names == run.class_names == tuple(f"class {k}" for k in range(7))
        np.testing.assert_array_equal(alone.predict(images).logits, run.predict(images).logits)
        export_main([f"--workdir={folder}", f"--to={tmp_path / 'exported'}"])
        assert (tmp_path / "exported" / "export.json").is_file()
        with pytest.raises(UserError, match=r"data\.npz"):
            alone.checkpoint.split("test")
    finally:
        folder.with_name("elsewhere.npz").rename(data)


def test_a_damaged_record_of_the_examples_is_one_sentence(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "run")) / "config.json"
    for example in ({"shape": "8"}, {"shape": [8, 8, 3], "dtype": "rubbish"}):
        record = json.loads(copy.read_text())
        record["resolved"]["example"] = example
        record.pop("sha256", None)
        copy.write_text(json.dumps(record))
        with pytest.raises(UserError, match=r"resolved\.example.*restore the file from a copy"):
            cnn.open_run(copy.parent)


def test_files_and_arrays_of_other_sizes_go_the_same_way(run, images, tmp_path):
    large = np.kron(images[0], np.ones((3, 3, 1), np.uint8))
    Image.fromarray(large).save(tmp_path / "large.png")
    Image.fromarray(large[..., 0]).save(tmp_path / "grey.png")
    found = run.predict([images[0], large, tmp_path / "large.png", str(tmp_path / "grey.png")])
    # Each pixel three times as large: the means over areas are the pixels again.
    np.testing.assert_allclose(found.logits[0], found.logits[1], rtol=1e-5)
    np.testing.assert_array_equal(found.logits[1], found.logits[2])
    assert found.logits.shape == (4, 7)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((8, 8, 3)), "float64"),
        (np.zeros((8, 8, 2), np.uint8), r"\[8, 8, 2\] is not an image"),
        ("nothing.png", "nothing.png: cannot be read"),
    ],
)
def test_what_is_no_image_is_refused(run, image, words):
    with pytest.raises(UserError, match=words):
        run.predict([image])


def test_feature_maps_have_the_blocks_names(run, images):
    maps = run.feature_maps(images[:2])
    shapes = {name: value.shape for name, value in maps.items()}
    assert shapes["stage1_block1"] == (2, 4, 4, 4)


def test_metrics_and_studies_are_rows(folder):
    rows = cnn.run_metrics(folder)
    assert {"step", "split", "name", "value"} <= rows[0].keys()
    assert any(row["name"] == "loss" and row["step"] == 12 for row in rows)
    with pytest.raises(UserError, match="no run"):
        cnn.run_metrics(folder / "none")


def test_a_committed_study_is_a_table():
    rows = cnn.study_table(REPOSITORY / "results" / "pooling")
    assert [row["arm"] for row in rows][:1] == ["max"]
    assert rows[0]["verdict"] == "baseline"
    assert all(0 < row["mean"] < 1 for row in rows)


def test_the_package_depends_on_what_requirements_list():
    def names(lines):
        return {re.match(r"[\w-]+(\[\w+\])?", line)[0] for line in lines if line[:1].isalpha()}

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def required(name):
        return names((REPOSITORY / name).read_text().splitlines())

    assert names(project["dependencies"]) == required("requirements.txt")
    for extra, file in (("cuda12", "cuda12"), ("cuda", "cuda13"), ("tpu", "tpu"), ("ray", "ray")):
        assert names(extras[extra]) == required(f"requirements/{file}.txt")
    assert required("requirements/test.txt") <= names(extras["dev"])
