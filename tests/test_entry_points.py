"""The commands as a user runs them: what they print, how they end, and what they leave behind."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from tests.conftest import REPOSITORY, TINY

SOMEWHERE = ("--config=configs/base.py", "--workdir=x")


def run(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def train(workdir, *overrides, config="configs/base.py"):
    fields = [f"--config.{text}" for text in overrides]
    return run("train.py", f"--config={config}", f"--workdir={workdir}", *fields)


def assert_refused(done, *words):
    """Exit code 2 and one sentence that holds the words."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert all(str(word) in lines[0] for word in words), lines[0]
    return lines[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "run"
    done = train(workdir, *TINY)
    assert done.returncode == 0, done.stderr
    return workdir, done


def test_train_shows_the_network_the_progress_and_where_everything_lies(finished):
    workdir, done = finished
    assert done.stderr == ""
    for words in (
        "plain on 8x8x3 images",
        "peak learning rate 0.00625 (scaled with the batch)",
        "step 12/12",
        "images/s",
        "left",
        "test: accuracy",
    ):
        assert words in done.stdout
    for name in ("config.json", "metrics.jsonl", "checkpoints", "result.json"):
        assert (workdir / name).exists()
    assert str(workdir) in done.stdout
    assert list(workdir.glob("tensorboard/events*"))
    assert not list(workdir.rglob("*.partial*"))


def test_the_result_holds_what_it_was_made_with(finished):
    result = json.loads((finished[0] / "result.json").read_text())
    assert result["step"] == 12
    assert result["test"]["count"] == 37
    assert result["versions"]["jax"]
    assert result["config"]["model"]["features"] == [4, 6]
    assert {"fingerprint", "device", "cpu", "cores", "commit", "seed"} <= result.keys()


def test_eval_reproduces_the_final_figures_to_the_bit(finished, tmp_path):
    workdir, _ = finished
    # The run folder is all it needs, wherever it lies.
    moved = tmp_path / "moved"
    shutil.copytree(workdir, moved)
    out = tmp_path / "out.json"
    done = run("eval.py", f"--workdir={moved}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    line = json.loads(done.stdout.splitlines()[-1])
    assert line == json.loads(out.read_text())
    trained = json.loads((workdir / "result.json").read_text())["test"]
    assert {name: line[name] for name in trained} == trained
    table = done.stdout.splitlines()[:-1]
    assert [row.split()[1] for row in table if "accuracy" in row] == ["accuracy", "top5_accuracy"]


def test_eval_of_the_best_step_on_the_validation_part(finished):
    workdir, _ = finished
    best = json.loads((workdir / "result.json").read_text())["best"]
    done = run("eval.py", f"--workdir={workdir}", "--step=best", "--split=validation")
    line = json.loads(done.stdout.splitlines()[-1])
    assert (line["step"], line["accuracy"], line["count"]) == (best["step"], best["accuracy"], 10)
    path = workdir / "checkpoints" / "12"
    done = run("eval.py", f"--checkpoint={path}", "--split=train")
    assert json.loads(done.stdout.splitlines()[-1])["count"] == 62


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimizer.learning_rat=1"], ["learning_rat", "did you mean 'optimizer.learning_rate'"]),
        (["train.batch_size=63"], ["train.batch_size", "63", "62 examples", "at most 62"]),
        (["schedule.warmup=13 steps"], ["schedule.warmup", "13", "at most 11"]),
        (["mesh.devices=8", "train.batch_size=12"], ["train.batch_size", "12", "8 devices", "16"]),
        (["mesh.devices=9"], ["mesh.devices", "9", "8 are available"]),
        (["data.test_split=tset"], ["data.test_split", "tset"]),
        (["model.name=plane"], ["model.name", "did you mean 'plain'"]),
        (["model.downsample=maks"], ["model.downsample", "did you mean 'max'"]),
        (["augment.pad=9", "augment.pad_mode=reflect"], ["augment.pad", "9"]),
        (
            ["augment.extra=random_erasing(smallest=0.9,largest=0.1)"],
            ["augment.extra", "smallest=0.9", "largest=0.1"],
        ),
    ],
)
def test_train_refuses_before_anything_is_written(tmp_path, overrides, words):
    workdir = tmp_path / "run"
    assert_refused(train(workdir, *TINY, *overrides), *words)
    assert not workdir.exists()


def test_a_missing_data_set_is_one_sentence_within_five_seconds(tmp_path):
    begun = time.monotonic()
    done = train(tmp_path / "run", f"data.data_dir={tmp_path}", "data.name=cifar10")
    assert_refused(done, "cifar10", tmp_path, "prepare")
    # A bound on waiting for a network that is not there, which would take minutes.
    assert time.monotonic() - begun < 60
    assert not (tmp_path / "run").exists()


def test_train_refuses_a_folder_that_holds_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert_refused(train(tmp_path, *TINY), tmp_path, "not empty")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_diverging_run_names_the_step_the_checkpoint_and_the_config(tmp_path):
    workdir = tmp_path / "run"
    overrides = ["optimizer.learning_rate=1e30", "schedule.name=constant", "log.every=1 steps"]
    line = assert_refused(train(workdir, *TINY, *overrides), "loss is", "at step", "config.json")
    assert str(workdir / "checkpoints") in line
    assert not (workdir / "result.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train.py"], ["--config", "--workdir"]),
        (["train.py", "--config=configs/base.py"], ["--workdir"]),
        (["train.py", "--wrokdir=x"], ["--help"]),
        (
            ["train.py", "--config=configs/bse.py", "--workdir=x"],
            ["did you mean 'configs/base.py'"],
        ),
        (["eval.py"], ["--workdir"]),
        (["eval.py", "--workdir=nowhere"], ["nowhere", "no run", "config.json"]),
        (["eval.py", "--checkpoint=nowhere/5"], ["nowhere/5", "--workdir"]),
    ],
)
def test_missing_and_misspelt_arguments(arguments, words):
    assert_refused(run(*arguments), *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--step=7"], ["--step", "'7'", "last, best", "12"]),
        (["--split=tets"], ["--split", "tets", "test, validation, train"]),
        (["--config.model.name=resnet20"], ["model.name", "cannot be changed"]),
        (["--config.data.worker=3"], ["data.worker", "data.workers"]),
        (["--suite=shfit"], ["--suite", "did you mean 'shift'", "accuracy"]),
        (
            ["--suite=shift(max_shift=4)"],
            ["8x8 pixels", "smaller than the grid of shifts", "max_shift=1"],
        ),
    ],
)
def test_eval_refuses(finished, arguments, words):
    assert_refused(run("eval.py", f"--workdir={finished[0]}", *arguments), *words)


def test_a_data_set_without_labels_is_one_sentence(tmp_path):
    file = tmp_path / "images.npz"
    np.savez(file, train_image=np.zeros((4, 8, 8, 1), np.uint8))
    line = assert_refused(
        train(tmp_path / "run", *TINY[4:], "data.source=npz", f"data.path={file}"), "label", file
    )
    assert "train_label" in line


def test_eval_refuses_a_damaged_checkpoint(finished, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    for file in (workdir / "checkpoints" / "12" / "state").glob("**/d/*"):
        content = np.frombuffer(file.read_bytes(), np.uint8).copy()
        content[content.size // 2] ^= 1
        file.write_bytes(content.tobytes())
    assert_refused(run("eval.py", f"--workdir={workdir}"), "--step", "damaged", "step 12")


def test_eval_of_a_run_without_a_checkpoint(finished, tmp_path):
    workdir = tmp_path / "run"
    workdir.mkdir()
    shutil.copy(finished[0] / "config.json", workdir)
    assert_refused(run("eval.py", f"--workdir={workdir}"), workdir, "no checkpoint")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["train.py", "--help"], 0, "--workdir"),
        (["eval.py", "--help"], 0, "--workdir"),
        (["train.py", *SOMEWHERE, "--config.sede=1"], 2, "did you mean 'seed'"),
        (["train.py", *SOMEWHERE, "--config.seed=one"], 2, "'one' is not an integer"),
        (
            ["train.py", *SOMEWHERE, "--config.optimizer.learning_rate=-1"],
            2,
            "-1.0 is out of range",
        ),
    ],
)
def test_help_and_config_errors_do_not_import_jax(command, code, words):
    probe = (
        "import runpy, sys\n"
        f"sys.argv = {command}\n"
        "try:\n  runpy.run_path(sys.argv[0], run_name='__main__')\n"
        f"except SystemExit as end:\n  assert end.code == {code}, end.code\n"
        "assert not {'jax', 'tensorflow_datasets', 'numpy'} & sys.modules.keys()\n"
    )
    done = run("-c", probe)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout + done.stderr


def test_a_folder_of_sounds_from_the_command_line(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 2)):
        for i, name in enumerate(("high", "low")):
            (tmp_path / split / name).mkdir(parents=True)
            for k in range(count):
                tone = np.sin(np.arange(800) * (0.2 + i)) + rng.normal(0, 0.1, 800)
                soundfile.write(tmp_path / split / name / f"{k}.wav", tone / 4, 8000)
    fields = [
        *("data.train_split=train", "data.test_split=test", f"data.path={tmp_path}"),
        *("data.sound.seconds=0.1", "train.duration=2 steps", "train.batch_size=8"),
        *("augment.time_shift=0.01", "augment.time_masks=(1, 2)", "mesh.devices=1"),
        *("model.features=4,6,8", "log.trackers=", "log.every=1 steps"),
    ]
    done = train(tmp_path / "run", *fields, config="configs/spoken_digits.py")
    assert done.returncode == 0, done.stderr
    assert "6x32x1 sounds" in done.stdout
    assert json.loads((tmp_path / "run" / "result.json").read_text())["test"]["count"] == 4
    broken = tmp_path / "train" / "low" / "broken.wav"
    broken.write_bytes(b"nothing")
    done = train(tmp_path / "other", *fields, config="configs/spoken_digits.py")
    assert_refused(done, broken, "not a readable WAV or FLAC file", "data.broken_files")
    assert not (tmp_path / "other").exists()
