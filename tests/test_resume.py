"""A run that was killed and started again ends in the same bytes as one that never was."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cnn.evaluation.checkpointed_run import open_run
from cnn.training.checkpoint import Checkpoints
from cnn.training.logs import read_metrics
from cnn.training.run_folder import RunFolder
from tests.conftest import REPOSITORY, TINY

OVERRIDES = (
    *TINY,
    "train.ema_decay=0.9",
    "augment.flip=True",
    "augment.pad=1",
    "model.dropout=0.2",
    "train.duration=400 steps",
    "checkpoint.every=25 steps",
    "evaluation.every=50 steps",
    "log.every=5 steps",
)


def command(workdir, *overrides):
    fields = [f"--config.{text}" for text in (*OVERRIDES, *overrides)]
    return ["train.py", "--config=configs/base.py", f"--workdir={workdir}", *fields]


def start(workdir, *overrides, driver=()):
    return subprocess.Popen(
        [sys.executable, *driver, *command(workdir, *overrides)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(workdir):
    process = start(workdir)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return out


def content(workdir):
    """Returns everything that must not depend on interruptions."""
    folder = RunFolder(workdir)
    checkpoints = Checkpoints(folder.checkpoints, read_only=True)
    step = checkpoints.steps()[-1]
    like = open_run(workdir).evaluator.abstract_state()
    _, meta = checkpoints.restore(step, like)
    result = folder.result()
    rows = [
        (r["step"], r["split"], r["name"], r["value"])
        for r in read_metrics(folder.metrics_file)
        if r["name"] != "images_per_second"
    ]
    predictions = np.load(folder.predictions_file)
    return {
        "arrays": meta["sha256"],
        "steps": checkpoints.steps(),
        "window": meta["window"],
        "rows": rows,
        "result": {k: result[k] for k in ("step", "test", "validation", "best", "fingerprint")},
        "predictions": {name: predictions[name].tolist() for name in predictions.files},
    }


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    finish(workdir)
    return workdir


@pytest.fixture(scope="module")
def uninterrupted(straight):
    return content(straight)


def wait_for_step(workdir, step, process):
    file = RunFolder(workdir).metrics_file
    while process.poll() is None:
        rows = read_metrics(file)
        if rows and rows[-1]["step"] >= step:
            return
        time.sleep(0.005)


def test_kill_at_random_steps(tmp_path, uninterrupted):
    workdir = tmp_path / "killed"
    rng = random.Random(os.environ.get("CNN_TEST_SEED", time.time_ns()))
    kills = sorted(rng.sample(range(20, 390), 2))
    for step in kills:
        process = start(workdir)
        wait_for_step(workdir, step, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    out = finish(workdir)
    assert "continuing after step" in out
    assert content(workdir) == uninterrupted, f"killed at {kills}"


# Runs the entry point in a process that kills itself while a save is half written.
KILL_IN_SAVE = """
import os, pathlib, runpy, signal, sys, threading, time
sys.argv = sys.argv[1:]
workdir = pathlib.Path(next(a for a in sys.argv if a.startswith("--workdir=")).partition("=")[2])
def watch():
    seen = 0
    while True:
        partial = list(workdir.glob("checkpoints/*orbax-checkpoint-tmp*"))
        done = [p for p in workdir.glob("checkpoints/*") if p.name.isdecimal()]
        if partial and done and int(partial[0].name.split(".")[0]) > 100:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.0005)
threading.Thread(target=watch, daemon=True).start()
sys.path.insert(0, ".")
runpy.run_path("train.py", run_name="__main__")
"""


def test_kill_during_a_save(tmp_path, uninterrupted):
    workdir = tmp_path / "saving"
    process = start(workdir, driver=["-c", KILL_IN_SAVE])
    out, _ = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, out
    assert list((workdir / "checkpoints").glob("*orbax-checkpoint-tmp*"))
    finish(workdir)
    assert content(workdir) == uninterrupted


def test_a_signal_stops_after_a_saved_step(tmp_path, uninterrupted):
    workdir = tmp_path / "stopped"
    for number, step in ((signal.SIGTERM, 50), (signal.SIGINT, 200)):
        process = start(workdir)
        wait_for_step(workdir, step, process)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        assert "Traceback" not in out
        stopped = int(out.split("stopped after step ")[1].split(",")[0])
        assert "the same command continues" in out
        assert Checkpoints(workdir / "checkpoints", read_only=True).steps()[-1] == stopped
    finish(workdir)
    assert content(workdir) == uninterrupted


def test_a_finished_run_trains_nothing_and_another_config_is_refused(straight):
    workdir = straight
    before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*") if p.is_file()}
    assert "nothing to train" in finish(workdir)
    other = [*command(workdir), "--config.seed=1", "--config.train.batch_size=8"]
    refused = subprocess.run(
        [sys.executable, *other], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "seed: 0 -> 1" in refused.stderr
    assert "train.batch_size: 16 -> 8" in refused.stderr
    assert before == {p: p.stat().st_mtime_ns for p in workdir.rglob("*") if p.is_file()}


def test_metrics_are_objects_of_five_fields(straight):
    lines = RunFolder(straight).metrics_file.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert {frozenset(r) for r in rows} == {frozenset(("step", "split", "name", "value", "time"))}
    names = {(r["split"], r["name"]) for r in rows}
    assert {("train", "loss"), ("train", "accuracy"), ("validation", "accuracy")} <= names
    assert [r["step"] for r in rows if (r["split"], r["name"]) == ("train", "loss")] == list(
        range(5, 401, 5)
    )


def test_a_second_process_is_refused_by_the_name_of_the_first(tmp_path):
    workdir, endless = tmp_path / "run", "train.duration=1000000 steps"
    first = start(workdir, endless)
    wait_for_step(workdir, 20, first)
    try:
        done = subprocess.run(
            [sys.executable, *command(workdir, endless)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert f"{workdir} is being trained by process {first.pid} on " in line
    finally:
        first.send_signal(signal.SIGTERM)
    out, _ = first.communicate(timeout=60)
    assert "the same command continues" in out
    assert not (workdir / "owner.json").exists()
