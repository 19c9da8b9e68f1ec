"""Workers of a study: signals, failing and hanging runs, dead groups."""

import json
import signal
import subprocess
import sys

import pytest

from cnn.ablation.execution import due, worker
from cnn.ablation.execution.watchdog import HUNG
from cnn.ablation.planning.runs import arms_of
from cnn.ablation.planning.study_file import load_study
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.config.errors import UserError
from cnn.training.metrics import NonFiniteLossError
from cnn.training.run_folder import RunFolder
from tests.ablation.processes import STUDY, children, command, run, runs_on, wait_for, wait_until
from tests.conftest import REPOSITORY


# Ctrl-C is tested in tests/test_endings.py, with what the screen then shows.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_runner_stops_its_workers_and_frees_their_runs(tmp_path, number):
    workdir = tmp_path / "study"
    runner = subprocess.Popen(
        command("run", workdir, "--workers=2", "--config.train.duration=100000 steps"),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(list(workdir.glob("*/seed-*/metrics.jsonl"))) > 1, runner)
    workers = children(runner.pid)
    runner.send_signal(number)
    # The workers hold the pipes too: this waits for them.
    output, errors = runner.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert runner.returncode == -number
    else:
        assert (runner.returncode, errors) == (128 + number, "")
        assert "the same command continues" in output
    wait_until(lambda: not any(map(runs_on, workers)))
    assert not list(workdir.glob("*/*/owner.json"))
    assert list(workdir.glob("*/seed-*/checkpoints/*"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "MemoryError"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nof 3 GiB"), "RESOURCE_EXHAUSTED"),
        (NonFiniteLossError("the loss is nan after step 2"), "the loss is nan"),
        (UserError("model.features: too wide"), "model.features: too wide"),
    ],
)
def test_a_failing_arm_is_reported_and_the_others_go_on(tmp_path, monkeypatch, error, words):
    trained = []

    def train(config, folder, **_):
        if "strided" in folder:
            raise error
        trained.append(folder)

    monkeypatch.setattr(worker, "train", train)
    arms = arms_of(load_study(STUDY), tmp_path)
    assert worker.work(due.seed_by_seed(list(arms.values()))) == 0
    failures = {
        r.folder: RunFolder(r.folder).failure_file.exists() for rs in arms.values() for r in rs
    }
    assert len(trained) == 9
    for folder, failed in failures.items():
        assert failed == ("strided" in str(folder))
        if failed:
            failure = json.loads(RunFolder(folder).failure_file.read_text())
            assert words in failure["error"]
            assert "\n" not in failure["error"]
            assert failure["diverged"] == isinstance(error, NonFiniteLossError)


def test_a_run_that_makes_no_step_is_given_up_and_the_others_go_on(tmp_path):
    """A real worker whose data hangs: only the end of its process frees the run."""
    runs = arms_of(load_study(STUDY), tmp_path / "study")["max"]
    folder = StudyFolder(tmp_path / "study")
    folder.begin(load_study(STUDY), STUDY, [])
    hanging = (
        "import sys, time\n"
        "from cnn.ablation.execution import worker\n"
        "train = worker.train\n"
        "def hang(config, folder, **more):\n"
        "    return time.sleep(1000) if 'seed-1' in folder else train(config, folder, **more)\n"
        "worker.train = hang\n"
        "from cnn.ablation.planning.study_file import load_study\n"
        "from cnn.ablation.planning.runs import arms_of\n"
        "from pathlib import Path\n"
        f"runs = arms_of(load_study({STUDY!r}), Path({str(folder.path)!r}))['max']\n"
        "sys.exit(worker.work(runs, patience=15.0))\n"
    )
    done = run(sys.executable, "-c", hanging)
    assert done.returncode == HUNG
    assert "made no step for 0.25 minutes" in done.stderr
    assert "made no step" in json.loads(RunFolder(runs[1].folder).failure_file.read_text())["error"]
    assert RunFolder(runs[0].folder).result() is not None
    # What it held is free for the next, whom it tells that this run failed.
    assert worker.work(runs) == 0
    assert RunFolder(runs[2].folder).result() is not None
    assert RunFolder(runs[1].folder).result() is None


def test_runs_of_a_dead_group_are_trained_alone(tmp_path, monkeypatch):
    runs = arms_of(load_study(STUDY), tmp_path)["max"]
    runs[0].folder.parent.mkdir()
    worker.blame(runs, "its process died of signal 9")
    assert all(map(due.is_open, runs))
    groups = []

    def train(configs, folders, **_):
        groups.append([folder.name for folder in folders])
        if folders == [runs[2].folder]:
            worker.blame(runs[2:], "its process died of signal 9")
        return [{}] * len(folders)

    monkeypatch.setattr(worker, "train_replicas", train)
    worker.work(runs, replicas=3)
    assert groups == [["seed-0"], ["seed-1"], ["seed-2"]]
    failure = json.loads(RunFolder(runs[2].folder).failure_file.read_text())["error"]
    assert failure == "its process died of signal 9"
    assert not list(tmp_path.glob("*/*.alone"))
