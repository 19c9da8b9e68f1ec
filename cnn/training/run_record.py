"""The record of one run: metrics over time, checkpoints, the best of them, and the result."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any, NoReturn

import jax
from ml_collections import ConfigDict

from cnn.config.durations import is_due
from cnn.config.errors import UserError
from cnn.config.metric import METRICS, TOP5_ACCURACY, Metric
from cnn.config.record import fingerprint, to_plain
from cnn.data import Dataset, identity_differences
from cnn.training.assembly import Evaluator
from cnn.training.checkpoint import Checkpoints, NonFiniteStateError
from cnn.training.console import Display, StepProgress
from cnn.training.evaluate import Outcomes
from cnn.training.hosts import gather, is_first, wait_for_all
from cnn.training.initial import Start
from cnn.training.logs import MetricLog, metrics_at
from cnn.training.metrics import NonFiniteLossError, RunningMetrics, summarize
from cnn.training.ownership import owned, owner_of
from cnn.training.plan import TrainingPlan
from cnn.training.provenance import provenance
from cnn.training.run_folder import RunFolder, moved_away
from cnn.training.state import TrainState
from cnn.training.trackers import Trackers

# What the record calls the weights that a field names.
_KEPT_AS = {"init_from": "init", "distillation.teacher": "teacher"}


class RunRecord:
    """Context that writes all files of a run; on exit it closes what it opened.

    The training loop makes the steps and passes their sums, outcomes and states.

    Args:
      folder: where everything is kept.
      display: what a person sees.
      evaluator: the network, its config and data.
      plan: durations in steps.
      sources: the weights that the run loads from elsewhere, by the field that names them.
      row: index of the run in the sums of a step; () for scalars.
    """

    def __init__(
        self,
        folder: RunFolder,
        display: Display,
        evaluator: Evaluator,
        plan: TrainingPlan,
        sources: Mapping[str, Start],
        row: Any = (),
    ):
        self._config, self._dataset = evaluator.config, evaluator.dataset
        self._folder, self._display, self._plan = folder, display, plan
        self._evaluator, self._row = evaluator, row
        self._sources = {field: source for field, source in sources.items() if source.origin}
        self._content = "".join(source.content for source in self._sources.values())
        self._fingerprint = fingerprint(self._config, self._content)
        self._window = RunningMetrics(row=row)
        self._saved: int | None = None
        self._metric = _best_metric(self._config, self._dataset)
        # (step, score): of that metric, turned so that larger is better.
        self._sign = 1 if self._metric.higher_is_better else -1
        self._best: tuple[int, float] | None = None
        self._scored: tuple[int, float] | None = None
        self._earlier = 0.0  # seconds of earlier starts
        self._checkpoints: Checkpoints
        self._log: MetricLog
        self._progress: StepProgress
        self._opened = ExitStack()
        self._remarked: set[str] = set()

    def __enter__(self) -> "RunRecord":
        """Claims the folder and opens its checkpoints.

        Raises:
          UserError: the folder cannot be written, holds a run on other data, or another process
            trains there.
        """
        self._begun = time.perf_counter()
        self._check_data()
        for field, source in self._sources.items():
            self._check_source(field, source)
        with ExitStack() as opened:
            if is_first():
                opened.enter_context(owned(self._folder.path))
                self._claim()
            self._check_shared()
            self._introduce()
            self._checkpoints = Checkpoints(self._folder.checkpoints, self._config.checkpoint.keep)
            opened.callback(self._checkpoints.close)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        """Closes the files and ends the background threads, after the last save."""
        self._opened.__exit__(*error)

    def _claim(self) -> None:
        # Again: the previous owner of the folder may have written there.
        self._folder.check(self._config)
        if self._folder.result_file.exists():
            raise UserError(
                f"--workdir: the run in {self._folder.path} was finished by another process just "
                "now; the same command shows its result"
            )
        self._folder.sweep()
        kept = ("mean", "std", "example", "identity")
        own = {name: getattr(self._dataset, name) for name in kept}
        own |= {_KEPT_AS[field]: dict(source.origin) for field, source in self._sources.items()}
        self._folder.claim(self._config, asdict(self._plan) | own, self._content)

    def _check_shared(self) -> None:
        """Refuses a folder that is not the same on all hosts, once the first has claimed it."""
        wait_for_all("claimed")
        seen = gather("owner", owner_of(self._folder.path))
        strangers = [str(host) for host, owner in enumerate(seen) if owner != seen[0]]
        if strangers:
            raise UserError(
                f"--workdir: {self._folder.path} is another folder on host {', '.join(strangers)}; "
                "use a folder on a file system that all hosts share"
            )

    def _introduce(self) -> None:
        name, shape = self._config.model.name, self._dataset.input_shape
        self._display.network(name, self._evaluator.model, shape, self._config.data.signal)
        self._display.plan(self._plan, self._evaluator.mesh, self._config.mesh.devices)
        for source in self._sources.values():
            self._display.say(source.remark)
        self._remark()

    def _check_data(self) -> None:
        """Refuses data that differs from that of the run so far, or of another host."""
        identities = gather("data", self._dataset.identity)
        for host, identity in enumerate(identities):
            if differing := identity_differences(identities[0], identity):
                raise UserError(
                    f"--hosts: host 0 and host {host} have different data: {'; '.join(differing)}"
                )
        if not self._folder.config_file.is_file():
            return
        stored = self._folder.record()["resolved"].get("identity")
        differing = identity_differences(stored, self._dataset.identity) if stored else []
        if differing:
            raise UserError(
                f"--workdir: {self._folder.path} holds a run on other data: "
                f"{'; '.join(differing)}; restore the data, or choose another folder"
            )

    def _check_source(self, field: str, source: Start) -> None:
        """Refuses weights that differ from those that the run started with."""
        place = f"{field}: {source.origin['from']}"
        contents = gather(field, source.content)
        strangers = [str(host) for host, one in enumerate(contents) if one != contents[0]]
        if strangers:
            raise UserError(
                f"{place} holds different weights on host "
                f"{', '.join(strangers)} than on host 0; use a shared file system"
            )
        if not self._folder.config_file.is_file():
            return
        stored = self._folder.record()["resolved"].get(_KEPT_AS[field], {}).get("sha256", "")
        if stored and stored != source.content:
            raise UserError(
                f"{place} holds different weights ({source.content}) "
                f"than the run in {self._folder.path} began with ({stored}); restore them or "
                "choose another folder"
            )

    def _remark(self) -> None:
        """Prints remarks about the data, once."""
        for remark in self._dataset.remarks:
            if remark not in self._remarked:
                self._display.say(remark)
                self._remarked.add(remark)

    def restore(self, like: TrainState) -> TrainState | None:
        """Returns the state of the newest good checkpoint, None without one; opens the logs.

        Args:
          like: shapes, dtypes and shardings to restore into.
        """
        found, damaged = self._checkpoints.restore_newest(like)
        for sentence in damaged:
            self._display.say(f"a damaged checkpoint was moved aside: {sentence}")
        # Only now: damaged checkpoints are gone and cannot be the best.
        self._best = self._checkpoints.best()
        state, start = None, 0
        if found:
            state, meta = found
            self._window = RunningMetrics(meta["window"], self._row)
            self._earlier = meta["seconds"]
            self._saved = start = int(state.step)
            self._display.say(f"continuing after step {start}")
        asked, plain = self._config.log.trackers, to_plain(self._config)
        trackers = partial(Trackers, asked, self._folder, plain, start, self._display.say)
        self._log = MetricLog(self._folder, start, trackers)
        self._opened.callback(self._log.close)
        if self._log.remark:
            self._display.say(self._log.remark)
        return state

    @contextmanager
    def progress(self, start: int) -> Iterator[None]:
        """Context that shows the progress of training from a step on."""
        total = self._plan.total_steps
        with self._display.progress(start, total, self._config) as self._progress:
            yield

    def add(self, step: int, sums: dict[str, jax.Array]) -> None:
        """Adds the sums of one step, still on the device."""
        self._window.add(step, sums)
        self._progress.advance(step)

    @contextmanager
    def not_training(self) -> Iterator[None]:
        """Context whose time does not count as training."""
        with self._progress.paused():
            yield

    def report(self, step: int) -> None:
        """Writes the means over the steps since the last report.

        Raises:
          NonFiniteLossError: training diverged.
        """
        try:
            metrics = self._window.take()
        except NonFiniteLossError as error:
            self._diverged(error)
        self._log.write(step, "train", metrics | self._progress.report(step, metrics))

    def validate(self, step: int, outcomes: Outcomes) -> None:
        """Writes the metrics of the validation split, and notes whether they are the best so far.

        Raises:
          NonFiniteLossError: training diverged.
        """
        metrics = self._summarize(outcomes, "validation")
        self._scored = step, self._sign * metrics[self._metric.name]
        self._display.metrics(f"step {step}, validation", metrics)
        scalars = {name: v for name, v in metrics.items() if isinstance(v, float)}
        self._log.write(step, "validation", scalars)
        if self._best is None or self._scored[1] > self._best[1]:
            self._best = self._scored

    def is_save_due(self, step: int) -> bool:
        """Whether to save the state after this step: it is the best, or the interval has passed."""
        is_best = self._best is not None and self._best[0] == step
        return is_best or is_due(step, self._plan.checkpoint_every, self._plan.total_steps)

    def save(self, step: int, state: TrainState) -> None:
        """Starts to save the state after a step, unless it is saved already.

        Raises:
          NonFiniteLossError: training diverged.
          UserError: the disk is full, or the folder was moved or removed.
        """
        if step == self._saved:
            return
        self._require_folder()
        try:
            window = self._window.totals()
        except NonFiniteLossError as error:
            self._diverged(error)
        meta = {
            "step": step,
            "config": to_plain(self._config),
            "fingerprint": self._fingerprint,
            "window": window,
            "best": self._best,
            "seconds": self._seconds(),
            "versions": provenance()["versions"],
        }
        scored = self._scored if self._scored and self._scored[0] == step else None
        try:
            self._checkpoints.save(step, state, meta, scored and scored[1])
        except NonFiniteStateError as error:
            self._diverged(error)
        self._saved = step

    def _require_folder(self) -> None:
        # A save would create a part of the folder anew.
        if is_first() and not self._folder.config_file.is_file():
            raise UserError(moved_away(self._folder.path))

    def _seconds(self) -> float:
        """Returns the seconds of all starts, each until its last checkpoint, and of this one."""
        return round(self._earlier + time.perf_counter() - self._begun, 3)

    def wait(self) -> None:
        """Waits until the last checkpoint is complete on disk."""
        self._checkpoints.wait()

    def _summarize(self, outcomes: Outcomes, split: str) -> dict[str, Any]:
        metrics = summarize(outcomes, self._dataset.class_names)
        if not math.isfinite(metrics["loss"]):
            self._diverged(NonFiniteLossError(f"the {split} loss is {metrics['loss']}"))
        return metrics

    def _diverged(self, error: UserError) -> NoReturn:
        self._checkpoints.wait()
        steps = self._checkpoints.steps()
        last = f"the last good checkpoint is step {steps[-1]}" if steps else "none was saved before"
        raise NonFiniteLossError(
            f"{error}; {last}, in {self._folder.checkpoints}; the config is "
            f"{self._folder.config_file}: try a lower optimizer.learning_rate, a longer "
            "schedule.warmup or train.clip_norm"
        ) from error

    def finish(self, outcomes: Outcomes) -> dict[str, Any]:
        """Writes the outcomes of the test split and the result, which ends the run; returns it.

        Raises:
          NonFiniteLossError: training diverged.
          UserError: the folder was moved or removed.
        """
        self._require_folder()
        step = self._plan.total_steps
        result = {
            "step": step,
            "seed": self._config.seed,
            "input_shape": self._dataset.input_shape,
            "test": self._summarize(outcomes, "test"),
            "validation": metrics_at(self._folder.metrics_file, step, "validation"),
            "best": self._best
            and {"step": self._best[0], self._metric.name: self._sign * self._best[1]},
            "skipped": self._dataset.skipped,
            "seconds": self._seconds(),
            "fingerprint": self._fingerprint,
            "config": to_plain(self._config),
        } | provenance()
        if is_first():
            self._folder.finish(result, outcomes)
        self._remark()
        self._display.result(self._folder, result)
        return result


def _best_metric(config: ConfigDict, dataset: Dataset) -> Metric:
    metric = METRICS[config.checkpoint.best_metric]
    if metric == TOP5_ACCURACY and dataset.num_classes <= 5:
        raise UserError(
            f"checkpoint.best_metric: {metric.name} needs more than five classes, but "
            f"there are {dataset.num_classes}; use accuracy or loss"
        )
    return metric
