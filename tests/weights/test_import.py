"""From a foreign file to a run folder: what is taken, set, refused and checked."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy

import cnn
from benchmarks.golden_weights import FOLDER
from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.export.__main__ import main as export_program
from cnn.foreign.imported import ImportRequest, Target, bring
from cnn.foreign.layouts import LAYOUTS
from cnn.training.run_folder import RunFolder
from cnn.weights.__main__ import main
from cnn.weights.completed import completed
from cnn.weights.reference import network_logits
from tests.conftest import REPOSITORY
from tests.weights.golden import read_golden

SOURCE = FOLDER / "resnet_cifar10.th"
REFERENCE = FOLDER / "resnet_cifar10.npz"
FIELDS = ("model.depths=2,2,2", "model.features=8,16,32")
MODEL = ("--model=resnet20", *(f"--config.{field}" for field in FIELDS))
DATA = (
    "--config.data.source=synthetic",
    "--config.data.synthetic_classes=7",
    "--config.data.synthetic_examples=64,40",
)


def run(*arguments):
    main(["import", *arguments])


@pytest.fixture
def tensors():
    return dict(read_golden(FOLDER / "resnet_cifar10-resnet20.json").tensors)


def saved(path, tensors):
    safetensors.numpy.save_file(tensors, path)
    return path


def test_from_a_foreign_file_to_the_page(tmp_path, capsys):
    workdir = tmp_path / "imported"
    run(*MODEL, *DATA, f"--from={SOURCE}", f"--workdir={workdir}", f"--check={REFERENCE}")
    output = capsys.readouterr().out
    assert "resnet_cifar10.th: PyTorch, before 1.6, as resnet20 of resnet_cifar10" in output
    assert "taken from its entry 'state_dict'; left aside: best_prec1" in output
    assert "'module.' was taken off all names" in output
    assert "sets model.padding=torch" in output
    assert "sets data.mean=(0.485, 0.456, 0.406)" in output
    assert "checked: the logits differ by at most" in output
    config = RunFolder(workdir).config()
    assert (config.model.padding, config.data.std) == ("torch", (0.229, 0.224, 0.225))
    kept = json.loads((workdir / "weights.json").read_text())
    assert kept["layout"] == "resnet_cifar10"
    assert kept["checked"] < 1e-4
    assert len(kept["sha256"]) == 64
    command = [sys.executable, "eval.py", f"--workdir={workdir}", "--suite=accuracy"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (workdir / "evaluation" / "eval.html").read_text()
    assert "resnet20" in page
    assert len(list((workdir / "evaluation" / "accuracy").glob("*.json"))) == 1


def test_a_second_import_and_training_on_the_folder_are_refused(tmp_path):
    workdir = tmp_path / "imported"
    arguments = (*MODEL, *DATA, f"--from={SOURCE}", f"--workdir={workdir}")
    run(*arguments)
    before = sorted(p.stat().st_mtime_ns for p in workdir.rglob("*"))
    with pytest.raises(UserError, match="is not empty"):
        run(*arguments)
    with pytest.raises(UserError, match="holds imported weights, which are not trained in place"):
        RunFolder(workdir).check(RunFolder(workdir).config())
    assert sorted(p.stat().st_mtime_ns for p in workdir.rglob("*")) == before
    assert os.listdir(tmp_path) == ["imported"]


def test_without_a_reference_it_says_so(tmp_path, capsys):
    run(*MODEL, *DATA, f"--from={SOURCE}", f"--workdir={tmp_path / 'run'}")
    assert "not checked: --check=FILE" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "weights.json").read_text())["checked"] is None


@pytest.mark.parametrize(
    "override", ["model.padding=SAME", "model.norm_epsilon=1e-3", "model.shortcut_downsample=avg"]
)
def test_what_no_shape_shows_the_check_refuses(tmp_path, override):
    with pytest.raises(UserError, match=r"--check: logits differ by .* more than 1e-04"):
        run(
            *(*MODEL, *DATA, f"--from={SOURCE}", f"--workdir={tmp_path / 'run'}"),
            *(f"--check={REFERENCE}", f"--config.{override}"),
        )
    assert not list(tmp_path.iterdir())


def test_pixels_are_normalised_as_the_layout_says(tmp_path, tensors):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    request = ImportRequest("resnet20", str(SOURCE), overrides=FIELDS)
    imported = bring(request)
    x = (pixels / 255 - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    logits = network_logits(imported, np.float32(x))
    np.savez(tmp_path / "pixels.npz", inputs=pixels, logits=logits)
    run(
        *MODEL,
        *DATA,
        f"--from={SOURCE}",
        f"--workdir={tmp_path}/run",
        f"--check={tmp_path}/pixels.npz",
    )
    assert json.loads((tmp_path / "run" / "weights.json").read_text())["checked"] is not None


def bring_tensors(path, tensors, model="resnet20", **options):
    overrides = FIELDS if model == "resnet20" else ()
    request = ImportRequest(model, str(saved(path, tensors)), overrides=overrides, **options)
    return completed(bring(request))


def test_missing_misshapen_and_left_over_tensors_are_refused_unless_waived(tmp_path, tensors):
    tensors["layer1.0.extra.weight"] = np.ones(3, np.float32)
    tensors["conv1.weight"] = np.ones((9, 3, 3, 3), np.float32)
    del tensors["layer3.1.bn2.bias"]
    file = tmp_path / "weights.safetensors"
    with pytest.raises(UserError, match=r"1 missing, 1 of another shape, 1 left over") as caught:
        bring_tensors(file, tensors, layout="resnet_cifar10")
    for output in (
        "missing: layer3.1.bn2.bias (32,), for params/stage3_block2/conv2/block/norm/bias",
        "another shape: conv1.weight (9, 3, 3, 3), (8, 3, 3, 3) for params/stem/conv1/conv/kernel",
        "left over: layer1.0.extra.weight",
        "nearest: --model=resnet",
    ):
        assert output in str(caught.value)
    skip = ("*extra*", "params/stem/conv1/conv/kernel", "layer3.1.bn2.bias")
    found = bring_tensors(file, tensors, layout="resnet_cifar10", skip=skip)
    assert {leaf.name for leaf in found.fresh} == {
        "params/stem/conv1/conv/kernel",
        "params/stage3_block2/conv2/block/norm/bias",
    }
    bias = found.variables["params"]["stage3_block2"]["conv2"]["block"]["norm"]["bias"]
    np.testing.assert_array_equal(bias, 0)


def test_another_number_of_classes_needs_a_new_head(tmp_path, tensors):
    tensors["linear.weight"] = tensors["linear.weight"][:, :5]
    file = tmp_path / "weights.safetensors"
    with pytest.raises(UserError, match="the classifier does not fit: --head=new --classes=N"):
        bring_tensors(file, tensors, layout="resnet_cifar10")
    found = bring_tensors(file, tensors, layout="resnet_cifar10", new_head=True, classes=4)
    assert found.variables["params"]["head"]["classifier"]["kernel"].shape == (32, 4)
    assert {leaf.name for leaf in found.fresh} == {
        f"params/head/classifier/{name}" for name in ("kernel", "bias")
    }


def test_a_wrong_architecture_names_the_nearest(tmp_path):
    golden = read_golden(FOLDER / "torchvision-resnet18.json")
    with pytest.raises(UserError, match="nearest: --model=resnet18 --layout=torchvision"):
        bring_tensors(tmp_path / "w.safetensors", golden.tensors, "resnet34", layout="torchvision")


def test_v1_is_no_counterpart_though_its_shapes_are(tmp_path):
    golden = read_golden(FOLDER / "torchvision-resnet50.json")
    with pytest.raises(UserError, match="it has no counterpart for 'resnet50_v1'"):
        bring_tensors(
            tmp_path / "w.safetensors", golden.tensors, "resnet50_v1", layout="torchvision"
        )


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("conv1.weight", lambda x: np.full_like(x, np.nan), "holds NaN"),
        ("conv1.weight", lambda x: x.astype(np.int8), "is of type int8"),
        ("bn1.running_var", lambda x: -x, "is a running variance and holds negative values"),
    ],
)
def test_values_that_no_network_has_are_refused(tmp_path, tensors, name, change, words):
    tensors[name] = change(tensors[name])
    with pytest.raises(UserError, match=f"{name} {words}"):
        bring_tensors(tmp_path / "w.safetensors", tensors, layout="resnet_cifar10")


def test_averages_are_set_where_the_config_keeps_them(tmp_path):
    workdir = tmp_path / "run"
    run(*MODEL, *DATA, f"--from={SOURCE}", f"--workdir={workdir}", "--config.train.ema_decay=0.9")
    found = open_run(str(workdir)).variables["params"]["head"]["classifier"]["kernel"]
    request = ImportRequest("resnet20", str(SOURCE), overrides=FIELDS)
    wanted = bring(request).variables["params"]["head"]["classifier"]["kernel"]
    np.testing.assert_array_equal(found, wanted)


def test_the_list_names_every_tensor_and_its_place(capsys):
    main(["import", f"--from={SOURCE}", "--list"])
    assert "module.conv1.weight, (8, 3, 3, 3) float32" in capsys.readouterr().out
    run(*MODEL, f"--from={SOURCE}", "--list")
    output = capsys.readouterr().out
    line = "module.conv1.weight -> params/stem/conv1/conv/kernel, (8, 3, 3, 3) float32"
    assert line in output
    assert "module.bn1.num_batches_tracked -> nothing" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "'' is not a command"),
        (["import", "--from=x"], "--model, --workdir: give both"),
        (["import", "--from=x", "--list", "--head=new"], "--classes"),
        (
            ["import", "--model=resnet20", "--from=x", "--workdir=y", "--head=new", "--classes=-1"],
            "--classes: -1 is too few",
        ),
        (["import", "--model=resnet999", "--from=x", "--workdir=y"], "unknown network 'resnet999'"),
        (["import", "--model=resnet20", "--from=none.pth", "--workdir=y"], "there is no file"),
    ],
)
def test_mistakes_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        main(arguments)


def test_names_of_older_files_are_those_of_today():
    golden = read_golden(FOLDER / "torchvision-densenet121.json")
    older = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): tensor
        for name, tensor in golden.tensors.items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in older
    assert set(golden.layout.renamed(older)) == set(golden.tensors)


@pytest.mark.parametrize("layout", ["torchvision", "timm"])
def test_images_are_prepared_as_the_library_says(layout):
    """What torchvision's transforms and timm's configs state (benchmarks/golden_weights.py)."""
    stated = json.loads((FOLDER / "evaluation.json").read_text())[layout]
    for name, network in LAYOUTS[layout].networks.items():
        fields, wanted = network.fields, stated[network.name]
        resized = round(fields["data.image_size"] / fields["data.crop_ratio"])
        assert (resized, fields["data.image_size"]) == (wanted["resized"], wanted["size"]), name
        assert fields["data.interpolation"] == wanted["interpolation"], name
        assert list(fields["data.mean"]) == wanted["mean"], name
        assert list(fields["data.std"]) == wanted["std"], name


def test_an_import_is_evaluated_on_the_pixels_of_its_library(tmp_path, capsys):
    """From Resize(256) and CenterCrop(224) of a JPEG, as torchvision makes them, 2 levels of 255.

    The decoder is another build of the same library, so here no pixel differs.
    """
    with np.load(FOLDER.parent / "augmentations.npz") as golden:
        jpeg, seen = golden["imagenet/jpeg"].tobytes(), golden["imagenet/seen"]
    for name in "abcdefg":
        (tmp_path / "test" / name).mkdir(parents=True)
        (tmp_path / "test" / name / "one.jpg").write_bytes(jpeg)
    golden = read_golden(FOLDER / "torchvision-vgg11_bn.json")
    file = saved(tmp_path / "vgg.safetensors", golden.tensors)
    arguments = ["--model=vgg11_bn", "--layout=torchvision", f"--from={file}"]
    arguments += ["--config.model.features=8,8,12,12,16", f"--config.data.path={tmp_path}"]
    arguments += ["--config.model.head=flatten(hidden=(24, 20), grid=7)"]
    (tmp_path / "names.txt").write_text("\n".join("gabcdef"))
    arguments += ["--config.data.source=folder", f"--class-names={tmp_path / 'names.txt'}"]
    run(*arguments, f"--workdir={tmp_path / 'run'}")
    output = capsys.readouterr().out
    assert "outputs are the classes g, a, ... f" in output
    assert "sets data.crop_ratio=0.875" in output
    assert "evaluated on the centre 224 of images whose shorter side is resized to 256" in output
    data = RunFolder(tmp_path / "run").config().data
    assert (data.image_size, data.crop_ratio, data.interpolation) == (224, 0.875, "bilinear")
    images, labels = open_run(str(tmp_path / "run")).split("test").read(np.arange(7))
    assert np.abs(images[3, ::4, ::4].astype(int) - seen).max() <= 2
    assert sorted(labels) == list(range(7))
    shutil.rmtree(tmp_path / "test")
    # The network is there without its data.
    dataset = open_run(str(tmp_path / "run"), split=None).evaluator.dataset
    assert (dataset.class_names, dataset.input_shape) == (tuple("gabcdef"), (224, 224, 3))


def test_a_file_of_two_libraries_with_other_fields_needs_the_layout(tmp_path):
    golden = read_golden(FOLDER / "torchvision-resnet18.json")
    file = saved(tmp_path / "w.safetensors", golden.tensors)
    request = ImportRequest("resnet18", str(file), overrides=("model.depths=2,1,1,1",))
    with pytest.raises(
        UserError, match=r"--layout: required, because .* fits .*torchvision.*, which"
    ):
        bring(request)
    fitting = bring(replace(request, layout="torchvision")).candidate
    shapes = {leaf.ours: leaf.form.ours for leaf in fitting.leaves}
    target = Target(fitting.config, shapes, fitting.num_classes)
    # They differ in the preparation of images, which is the target's own.
    started = bring(replace(request, target=target, field="init_from"))
    assert started.candidate.fit.perfect


def test_an_import_without_class_names_opens_and_exports_without_a_data_set(tmp_path):
    workdir = tmp_path / "run"
    arguments = ("--config.data.source=npz", f"--config.data.path={tmp_path}/none.npz")
    run(*MODEL, *arguments, f"--from={SOURCE}", f"--workdir={workdir}")
    opened = cnn.open_run(workdir)
    assert opened.class_names == tuple("0123456")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    found = opened.predict(pixels)
    imported = bring(ImportRequest("resnet20", str(SOURCE), overrides=FIELDS))
    wanted = network_logits(imported, opened.prepare(pixels))
    np.testing.assert_allclose(found.logits, wanted, rtol=1e-5, atol=1e-6)
    export_program([f"--workdir={workdir}", "--batch=1"])
    assert (workdir / "export" / "model.stablehlo").is_file()
