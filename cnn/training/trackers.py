"""Where metrics go besides metrics.jsonl: TensorBoard, Weights & Biases, MLflow, a CSV table."""

import csv
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ml_collections import ConfigDict

from cnn.config.call import split_calls
from cnn.config.fields import leaves
from cnn.config.registry import Registry
from cnn.training.run_folder import RunFolder


class Tracker(Protocol):
    """Interface of a tracker."""

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Takes the metrics of a split after a step."""

    def close(self) -> None:
        """Flushes and closes."""


# (run folder, config as nested dicts, step that training starts from, *, options) -> tracker.
TRACKERS: Registry[Callable[..., Tracker]] = Registry("tracker", "log.trackers", listed=True)


class Trackers:
    """All trackers of a run. A tracker that fails is disabled and never ends the run.

    Args:
      asked: `log.trackers`.
      folder: of the run.
      config: of the run, as nested dicts.
      step: that training starts from; later steps, which a crash has undone, are not reported
      twice.
      say: takes a sentence for the user.
    """

    def __init__(
        self,
        asked: str,
        folder: RunFolder,
        config: dict[str, Any],
        step: int,
        say: Callable[[str], None],
    ):
        self._say = say
        self._open: dict[str, Tracker] = {}
        for text in split_calls(asked):
            make = TRACKERS.bound(text, "log.trackers")
            self._attempt(text, partial(make, folder, config, step))

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Hands the metrics to every tracker."""
        for name, tracker in list(self._open.items()):
            self._attempt(name, partial(tracker.write, step, split, metrics))

    def close(self) -> None:
        """Closes every tracker."""
        for name, tracker in list(self._open.items()):
            self._attempt(name, tracker.close)

    def _attempt(self, name: str, call: Callable[[], Tracker | None]) -> None:
        try:
            made = call()
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._say(f"the tracker {name} failed ({reason}); training goes on without it")
            self._open.pop(name, None)
        else:
            if made is not None:
                self._open[name] = made


@TRACKERS.register("tensorboard")
class TensorBoard:
    """Event files in `tensorboard/` of the run folder.

    Written synchronously: tensorboardX's own `SummaryWriter` uses a thread, which dies when the
    disk is full, and a queue of ten events, on which training would then block forever.
    """

    def __init__(self, folder: RunFolder, config: dict[str, Any], step: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary

        folder.tensorboard.mkdir(parents=True, exist_ok=True)
        self._event, self._summary = Event, Summary
        self._events = EventsWriter(str(folder.tensorboard / "events"))
        if step:
            # Hides the steps that a crash has undone.
            started = SessionLog(status=SessionLog.START)
            self._events.write_event(Event(step=step + 1, session_log=started))

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Adds one scalar per metric, "split/name"."""
        values = [
            self._summary.Value(tag=f"{split}/{name}", simple_value=value)
            for name, value in metrics.items()
        ]
        summary = self._summary(value=values)
        self._events.write_event(self._event(step=step, wall_time=time.time(), summary=summary))
        self._events.flush()

    def close(self) -> None:
        """Closes the event file."""
        self._events.close()


@TRACKERS.register("csv")
class CsvTables:
    """`metrics_<split>.csv` in the run folder: one row per step, one column per metric."""

    def __init__(self, folder: RunFolder, config: dict[str, Any], step: int):
        self._folder = folder.path
        for file in self._folder.glob("metrics_*.csv"):
            with open(file, newline="") as rows:
                header, *kept = list(csv.reader(rows)) or [[]]
            _write_rows(file, [header, *(row for row in kept if int(row[0]) <= step)], "w")

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Appends one row."""
        file = self._folder / f"metrics_{split}.csv"
        header = [] if file.exists() else [["step", *metrics]]
        _write_rows(file, [*header, [step, *metrics.values()]], "a")

    def close(self) -> None:
        """Does nothing: every row is on disk already."""


def _write_rows(file: Path, rows: list[list[Any]], mode: str) -> None:
    with open(file, mode, newline="") as out:
        csv.writer(out).writerows(rows)


@TRACKERS.register("wandb")
class WandB:
    """Weights & Biases, offline unless $WANDB_MODE says otherwise; `wandb sync` uploads later."""

    def __init__(
        self, folder: RunFolder, config: dict[str, Any], step: int, *, project: str = "cnn"
    ):
        import wandb

        self._run = wandb.init(
            project=project,
            name=folder.path.name,
            dir=folder.path,
            config=config,
            mode=os.environ.get("WANDB_MODE", "offline"),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Logs "split/name" at the step."""
        self._run.log({f"{split}/{name}": value for name, value in metrics.items()}, step=step)

    def close(self) -> None:
        """Finishes the run."""
        self._run.finish(quiet=True)


@TRACKERS.register("mlflow")
class MLflow:
    """MLflow at $MLFLOW_TRACKING_URI, or in `mlflow.db` beside the run folder."""

    def __init__(
        self, folder: RunFolder, config: dict[str, Any], step: int, *, experiment: str = "cnn"
    ):
        from mlflow.tracking import MlflowClient

        local = f"sqlite:///{folder.path.parent / 'mlflow.db'}"
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", local))
        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self._client.create_experiment(experiment)
        self._run = self._client.create_run(number, run_name=folder.path.name).info.run_id
        for name, value in leaves(ConfigDict(config)):
            self._client.log_param(self._run, name, value)

    def write(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        """Logs "split/name" at the step."""
        for name, value in metrics.items():
            self._client.log_metric(self._run, f"{split}/{name}", value, step=step)

    def close(self) -> None:
        """Marks the run as ended."""
        self._client.set_terminated(self._run)
