"""Imported networks of several libraries in the lab, side by side on one page."""

import json

import pytest
import safetensors.numpy

from benchmarks.golden_weights import FOLDER
from cnn.commands.eval import main as evaluate
from cnn.weights.__main__ import main
from tests.weights.golden import read_golden

DATA = (
    *("source=synthetic", "synthetic_shape=32,32,3", "synthetic_classes=7"),
    *("synthetic_examples=40,12", "validation=8 examples"),
)
SOURCES = {
    "ResNet-20": (
        *("--model=resnet20", f"--from={FOLDER / 'resnet_cifar10.th'}"),
        *("--config.model.depths=2,2,2", "--config.model.features=8,16,32"),
    ),
    "VGG-11 (BN)": (
        *("--model=vgg11_bn", "--layout=pytorch_cifar", "--from={file}"),
        "--config.model.features=8,8,12,12,16",
    ),
}
SUITES = (
    *("accuracy", "calibration", "receptive_field(images=2)"),
    "shift(images=2, exhaustive=0, max_shift=1, parts=1, passes=1)",
    "corruption(images=2, severities=(5,))",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("imported")
    file = root / "vgg.safetensors"
    safetensors.numpy.save_file(read_golden(FOLDER / "pytorch_cifar-vgg11_bn.json").tensors, file)
    folders = {}
    for i, (name, arguments) in enumerate(SOURCES.items()):
        folders[name] = root / f"run{i}"
        own = [argument.format(file=file) for argument in arguments]
        own += [f"--config.data.{field}" for field in DATA]
        own += ["--config.train.batch_size=4", "--config.evaluation.batch_size=4"]
        main(["import", *own, f"--workdir={folders[name]}"])
    return folders


@pytest.mark.exhaustive
def test_every_suite_of_imported_networks_stands_on_one_page(runs, tmp_path, capsys):
    page = tmp_path / "page.html"
    folders = [f"--workdir={folder}" for folder in runs.values()]
    names = [f"--name={name}" for name in runs]
    evaluate([*folders, *names, f"--suite={','.join(SUITES)}", f"--page={page}"])
    *_, last = capsys.readouterr().out.splitlines()
    output = json.loads(last)
    suites = {suite.partition("(")[0] for suite in SUITES}
    assert {frozenset(run["files"]) for run in output["runs"].values()} == {frozenset(suites)}
    text = page.read_text()
    assert "2 runs side by side" in text
    for head in ("Shift", "Receptive field", "Calibration", "Corruption"):
        assert head in text, head
    for name in runs:
        # In the table of runs and in each suite's part.
        assert text.count(name) > len(SUITES)
    assert "on which imported weights may have been trained" in text
