"""Trackers get every metric, survive interruptions, and never end a run."""

import csv
import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from cnn.config.errors import UserError
from cnn.training.logs import read_metrics
from cnn.training.loop import train
from cnn.training.run_folder import RunFolder
from cnn.training.trackers import TRACKERS, Trackers
from tests.conftest import tiny_config


class StopError(Exception):
    """Ends a run from outside."""


def logged(folder, split):
    """{step: {metric: value}} of metrics.jsonl."""
    found = {}
    for row in read_metrics(RunFolder(folder).metrics_file):
        if row["split"] == split:
            found.setdefault(row["step"], {})[row["name"]] = row["value"]
    return found


def interrupted_then_finished(folder, config):
    steps = iter(range(100))

    def stop():
        if next(steps) == 7:
            raise StopError

    with pytest.raises(StopError):
        train(config, str(folder), quiet=True, alive=stop)
    train(config, str(folder), quiet=True)


def test_csv_holds_the_rows_of_metrics_jsonl_after_an_interruption(tmp_path):
    folder = tmp_path / "run"
    interrupted_then_finished(folder, tiny_config("log.trackers=csv"))
    with open(folder / "metrics_validation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = logged(folder, "validation")
    assert [int(row["step"]) for row in rows] == sorted(expected)
    assert all(float(row["loss"]) == expected[int(row["step"])]["loss"] for row in rows)
    with open(folder / "metrics_train.csv", newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == sorted(logged(folder, "train"))


def test_wandb_writes_an_offline_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    train(tiny_config("log.trackers=wandb(project='pools')"), str(tmp_path / "run"), quiet=True)
    assert list((tmp_path / "run").rglob("offline-run-*/*.wandb"))


@pytest.mark.filterwarnings("ignore")  # of SQLAlchemy, in MLflow's own code
def test_mlflow_holds_params_and_metrics(tmp_path, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    train(tiny_config("log.trackers=mlflow"), str(tmp_path / "run"), quiet=True)
    client = tracking.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("cnn").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FINISHED"
    assert run.data.params["model.name"] == "plain"
    history = client.get_metric_history(run.info.run_id, "validation/loss")
    expected = logged(tmp_path / "run", "validation")
    assert {m.step: m.value for m in history} == {s: row["loss"] for s, row in expected.items()}


def test_a_failing_tracker_is_left_out_and_reported_once(tmp_path, monkeypatch):
    class Broken:
        def __init__(self, folder, config, step):
            pass

        def write(self, step, split, metrics):
            raise ConnectionError("no route")

        def close(self):
            raise AssertionError("a tracker that failed is not used again")

    monkeypatch.setitem(TRACKERS._entries, "csv", Broken)
    messages = []
    trackers = Trackers("csv, tensorboard", RunFolder(tmp_path), {}, 0, messages.append)
    for step in (1, 2):
        trackers.write(step, "train", {"loss": 1.0})
    trackers.close()
    assert messages == ["the tracker csv failed (no route); training goes on without it"]
    assert list((tmp_path / "tensorboard").iterdir())


def test_an_unknown_tracker_is_refused():
    with pytest.raises(UserError, match="did you mean 'wandb'"):
        Trackers("wanb", RunFolder("nowhere"), {}, 0, print)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_event_files_on_a_full_disk_end_the_tracker_and_never_wait(tmp_path):
    messages = []
    trackers = Trackers("tensorboard", RunFolder(tmp_path), {}, 0, messages.append)
    writer = trackers._open["tensorboard"]._events._py_recordio_writer
    with writer._writer, open("/dev/full", "wb", buffering=0) as writer._writer:
        for step in range(50):
            trackers.write(step, "train", {"loss": 0.5})
    (sentence,) = messages
    assert "No space left on device" in sentence


def test_event_files_hold_every_metric_once_a_run_went_on(tmp_path):
    for step in (0, 4):
        trackers = Trackers("tensorboard", RunFolder(tmp_path), {}, step, print)
        trackers.write(step + 1, "train", {"loss": 0.5, "accuracy": 0.25})
        trackers.close()
        # Its files are named by the second.
        for file in (tmp_path / "tensorboard").glob("events*"):
            file.rename(file.with_name(f"{step}-{file.name}"))
    events = [
        event
        for file in sorted((tmp_path / "tensorboard").iterdir())
        for event in read_events(file)
    ]
    scalars = [(e.step, v.tag, v.simple_value) for e in events for v in e.summary.value]
    assert scalars == [
        (step, f"train/{name}", value)
        for step in (1, 5)
        for name, value in (("loss", 0.5), ("accuracy", 0.25))
    ]
    assert [e.step for e in events if e.HasField("session_log")] == [5]


def read_events(file):
    """Reads TFRecords: length, checksum, event, checksum."""
    content, found = file.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return found
