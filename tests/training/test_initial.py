"""Fine-tuning: what a training takes from another run, and what it refuses."""

import signal

import jax
import numpy as np
import pytest

from benchmarks.golden_weights import FOLDER
from cnn.ablation.execution import worker
from cnn.ablation.planning.runs import arms_of
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.config.errors import UserError
from cnn.foreign.imported import ImportRequest, bring
from cnn.training.interruption import InterruptedRun
from cnn.training.loop import train
from cnn.training.replicas import train_replicas
from cnn.training.run_folder import RunFolder
from cnn.training.stored_weights import read_weights
from cnn.weights.__main__ import main
from tests.conftest import TINY, tiny_config

FOREIGN = FOLDER / "resnet_cifar10.th"
MODEL = ("model.name=resnet20", "model.features=4,6", "model.depths=1,1")
# Rates of 0: what a training starts from is what it ends with.
STILL = ("optimizer.learning_rate=0", "optimizer.weight_decay=0", "model.norm_frozen=true")


def weights(folder):
    found = read_weights(str(folder), "--workdir").variables
    leaves = jax.tree_util.tree_leaves_with_path(found)
    return {"/".join(key.key for key in path): np.asarray(leaf) for path, leaf in leaves}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "run"
    train(tiny_config(*MODEL, "train.duration=3 steps", "train.ema_decay=0.5"), str(folder))
    return folder


def tuned(source, folder, *overrides):
    config = tiny_config(*MODEL, f"init_from={source}", "train.duration=2 steps", *overrides)
    train(config, str(folder))
    return weights(folder)


def test_parameters_and_statistics_are_those_of_the_source(source, tmp_path):
    before, after = weights(source), tuned(source, tmp_path / "run", *STILL)
    assert set(before) == set(after)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_averages_start_from_the_source_too(source, tmp_path):
    before = weights(source)
    after = tuned(source, tmp_path / "run", *STILL, "train.ema_decay=0.9")
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-6, atol=1e-7, err_msg=name)


def test_a_new_head_is_as_it_is_born(source, tmp_path):
    fields = (*STILL, "data.synthetic_classes=5", "init_head=new")
    after = tuned(source, tmp_path / "run", *fields)
    train(tiny_config(*MODEL, *fields[:-1], "train.duration=2 steps"), str(tmp_path / "initial"))
    initial = weights(tmp_path / "initial")
    for name, value in weights(source).items():
        wanted = initial[name] if name.startswith("params/head/classifier") else value
        np.testing.assert_array_equal(after[name], wanted, err_msg=name)


def test_frozen_groups_stay_and_the_rest_learns(source, tmp_path):
    groups = "optimizer.groups=^(stem|stage1): rate=0"
    before, after = weights(source), tuned(source, tmp_path / "run", groups)
    for name, value in before.items():
        if name.startswith(("params/stem", "params/stage1")):
            np.testing.assert_array_equal(after[name], value, err_msg=name)
    assert (after["params/head/classifier/kernel"] != before["params/head/classifier/kernel"]).any()


def test_a_checkpoint_is_taken_as_well_as_a_run(source, tmp_path):
    whole = tuned(source, tmp_path / "run", *STILL)
    one = tuned(f"{source}/checkpoints/3", tmp_path / "one", *STILL)
    for name, value in whole.items():
        np.testing.assert_array_equal(one[name], value)


def test_replicas_start_from_the_source_as_runs_alone_do(source, tmp_path):
    fields = (*MODEL, *STILL, f"init_from={source}", "train.duration=2 steps")
    configs = [tiny_config(*fields, f"seed={seed}") for seed in (0, 1)]
    folders = [tmp_path / str(seed) for seed in (0, 1)]
    endings = train_replicas(configs, folders)
    assert not [ending for ending in endings if isinstance(ending, Exception)]
    for folder in folders:
        after = weights(folder)
        for name, value in weights(source).items():
            np.testing.assert_array_equal(after[name], value, err_msg=name)


def exported(source, file):
    main(["export", f"--workdir={source}", f"--to={file}"])
    return file


def resolved(folder):
    return RunFolder(folder).record()["resolved"]["init"]


def test_a_weights_file_is_taken_as_the_run_that_it_was_exported_from(source, tmp_path, capsys):
    file = exported(source, tmp_path / "weights.safetensors")
    before = weights(source)
    after = tuned(file, tmp_path / "file", *STILL, "model.padding=torch")
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    of_run = tuned(source, tmp_path / "run", *STILL)
    assert of_run.keys() == after.keys()
    one, other = resolved(tmp_path / "file"), resolved(tmp_path / "run")
    assert one["sha256"] == other["sha256"]
    assert (one["layout"], other["step"]) == ("own", 3)
    output = capsys.readouterr().out
    assert f"starts from {file} (own, sha256 {one['sha256'][:12]})" in output


def test_a_foreign_file_is_taken_by_the_rules_of_an_import(tmp_path):
    fields = ("model.features=8,16,32", "model.depths=2,2,2", "data.synthetic_shape=32,32,3")
    fields = (*fields, "model.padding=torch", "data.mean=0.5,0.5,0.5", "data.std=1,1,1")
    after = tuned(FOREIGN, tmp_path / "run", *STILL, *fields)
    overrides = ("model.features=8,16,32", "model.depths=2,2,2")
    wanted = bring(ImportRequest("resnet20", str(FOREIGN), overrides=overrides)).tensors
    assert len(wanted) == len(after)
    for path, value in wanted.items():
        np.testing.assert_array_equal(after["/".join(path)], value)
    found = resolved(tmp_path / "run")
    assert found["layout"] == "resnet_cifar10"
    assert found["differs"] == [
        "the source used data.mean=(0.485, 0.456, 0.406); this run uses (0.5, 0.5, 0.5)",
        "the source used data.std=(0.229, 0.224, 0.225); this run uses (1.0, 1.0, 1.0)",
    ]


def test_what_the_source_computed_otherwise_is_reported(source, tmp_path, capsys):
    tuned(source, tmp_path / "run", *STILL, "model.padding=torch", "model.dropout=0.5")
    output = capsys.readouterr().out
    assert "the source used model.padding=SAME; this run uses torch" in output
    assert "dropout=0.0" not in output


def test_a_run_goes_on_from_the_same_weights_only(source, tmp_path):
    file, run = exported(source, tmp_path / "weights.safetensors"), tmp_path / "run"
    fields = (*MODEL, f"init_from={file}", "train.duration=6 steps")
    with pytest.raises(InterruptedRun):
        train(tiny_config(*fields), str(run), alive=lambda: signal.raise_signal(signal.SIGTERM))
    train(tiny_config(*MODEL, "train.duration=1 steps"), str(tmp_path / "other"))
    kept = file.read_bytes()
    exported(tmp_path / "other", file)
    with pytest.raises(
        UserError, match=r"init_from: .* holds different weights \(\w+\) than the run"
    ):
        train(tiny_config(*fields), str(run))
    file.write_bytes(kept)
    assert train(tiny_config(*fields), str(run))["step"] == 6


def test_the_content_is_part_of_the_fingerprint(source, tmp_path):
    """The same path with other weights in it is another run."""
    file, found = tmp_path / "weights.safetensors", {}
    for name, steps in (("one", 1), ("two", 2)):
        train(tiny_config(*MODEL, f"train.duration={steps} steps"), str(tmp_path / name))
        exported(tmp_path / name, file)
        tuned(file, tmp_path / f"from_{name}", *STILL)
        result = RunFolder(tmp_path / f"from_{name}").result()
        found[name] = result["fingerprint"]
        assert found[name] == RunFolder(tmp_path / f"from_{name}").record()["fingerprint"]
    assert found["one"] != found["two"]


def test_arms_of_a_study_start_from_different_weights(source, tmp_path):
    train(tiny_config(*MODEL, "train.duration=1 steps"), str(tmp_path / "other"))
    sources = {"three": source, "one": tmp_path / "other"}
    plan = StudyPlan(
        name="sources",
        config="configs/base.py",
        shared=(*TINY, *MODEL, *STILL, "train.duration=2 steps"),
        arms={name: (f"init_from={folder}",) for name, folder in sources.items()},
        baseline="three",
        seeds=range(2),
        margin=1.0,
    )
    runs = {name: arms_of(plan, tmp_path / "study")[name][0] for name in sources}
    assert worker.work(list(runs.values())) == 0
    for name, run in runs.items():
        after = weights(run.folder)
        for path, value in weights(sources[name]).items():
            np.testing.assert_array_equal(after[path], value, err_msg=path)
    assert len({resolved(run.folder)["sha256"] for run in runs.values()}) == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data.synthetic_classes=5",), r"has another number of classes .* set init_head=new"),
        (("model.depths=1,2",), r"has a network \(resnet20\).* missing"),
        (("model.features=4,8",), "has a network .* of another shape"),
        (("init_from=README.md",), "README.md is not a weights file of a known format"),
        ((f"init_from={FOREIGN}",), r"is not resnet20 as --layout=.* another shape.* left over"),
        (
            ("init_from=nowhere",),
            "nowhere is neither a run folder with checkpoints nor a checkpoint",
        ),
        (("init_from=", "init_head=new"), "init_head: has no effect without init_from"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    source, tmp_path, overrides, message
):
    with pytest.raises(UserError, match=message):
        tuned(source, tmp_path / "run", *overrides)
    assert not (tmp_path / "run").exists()
