"""The spine: one run, from a config to a result."""

import time
from collections.abc import Callable, Generator
from dataclasses import asdict
from typing import Any, NoReturn

from ml_collections import ConfigDict

from cnn.config.durations import is_due
from cnn.config.record import fingerprint, to_plain
from cnn.data import Dataset, open_dataset
from cnn.training.assembly import Evaluator, make_evaluator, make_trainer
from cnn.training.checkpoint import Checkpoints
from cnn.training.console import Display, StepProgress
from cnn.training.device import UPDATE, Device, Steps
from cnn.training.hosts import is_first, wait_for_all
from cnn.training.interruption import InterruptedRun, Interruption
from cnn.training.logs import MetricLog, figures_at
from cnn.training.metrics import NonFiniteLossError, Window, summarize
from cnn.training.plan import Plan, resolve
from cnn.training.provenance import provenance
from cnn.training.run_folder import RunFolder


def train(
    config: ConfigDict,
    workdir: str,
    dataset: Dataset | None = None,
    *,
    quiet: bool = False,
    alive: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Trains, or goes on training, and evaluates; everything is kept in the run folder.

    The same call continues an interrupted run, to the same bytes as an uninterrupted one, and
    returns the result of a finished one without training.

    Args:
      config: a complete config, from `cnn.config.load`.
      workdir: the run folder.
      dataset: instead of the one that `config.data` describes.
      quiet: print nothing.
      alive: called after every step.

    Returns:
      What result.json holds.

    Raises:
      UserError: the config, the data and the folder do not go together; nothing was written.
      NonFiniteLossError: training diverged.
      InterruptedRun: SIGTERM or SIGINT came.
    """
    folder, display = RunFolder(workdir), Display(quiet=quiet or not is_first())
    folder.check(config)
    if result := folder.result():
        display.say(f"this run is finished, at step {result['step']}: nothing to train")
        display.result(folder, result)
        return result
    dataset = dataset or open_dataset(config.data)
    evaluator = make_evaluator(config, dataset)
    plan = resolve(config, len(dataset.train), evaluator.mesh.size)
    device = Device(evaluator, make_trainer(evaluator, plan))
    with Interruption() as interruption:
        run = Run(folder, display, evaluator, device, plan, interruption, alive)
        return device.drive(run.steps())


class Run:
    """One run while it is under way.

    Args:
      folder: where everything is kept.
      display: what a person sees.
      evaluator: the network.
      device: holds the state.
      plan: durations in steps.
      interruption: that ends the run after a step.
      alive: called after every step.
    """

    def __init__(
        self,
        folder: RunFolder,
        display: Display,
        evaluator: Evaluator,
        device: Device,
        plan: Plan,
        interruption: Interruption,
        alive: Callable[[], None] = lambda: None,
    ):
        self.config, self.dataset = evaluator.config, evaluator.dataset
        self.folder, self.display, self.plan = folder, display, plan
        self.evaluator, self.device, self.interruption = evaluator, device, interruption
        self.alive = alive
        self.window = Window(row=device.row)
        self.saved: int | None = None
        self.best: tuple[int, float] | None
        self.checkpoints: Checkpoints
        self.log: MetricLog

    def steps(self) -> Steps:
        """Trains and evaluates, yielding what it needs of the device; returns the result."""
        begun = time.perf_counter()
        self._claim()
        self.checkpoints = Checkpoints(self.folder.checkpoints, self.config.checkpoint.keep)
        try:
            self.best = self.checkpoints.best()
            start = self._begin()
            self.log = MetricLog(self.folder, start, tensorboard=self.config.log.tensorboard)
            try:
                yield from self._train(start)
                self.checkpoints.wait()
                return (yield from self._finish(begun))
            finally:
                self.log.close()
        finally:
            self.checkpoints.close()

    def _claim(self) -> None:
        # Traces the network, which finds what does not fit before anything is written.
        self.evaluator.abstract_state()
        if is_first():
            own = {"mean": self.dataset.mean, "std": self.dataset.std}
            self.folder.claim(self.config, asdict(self.plan) | own)
        wait_for_all("claimed")
        name, shape = self.config.model.name, self.dataset.input_shape
        self.display.network(name, self.evaluator.model, shape, self.config.data.signal)
        self.display.plan(self.plan, self.evaluator.mesh)

    def _begin(self) -> int:
        """Restores the newest good checkpoint, or starts at step 0; returns the step."""
        found, damaged = self.checkpoints.restore_newest(self.evaluator.abstract_state())
        for sentence in damaged:
            self.display.say(f"a damaged checkpoint was put aside: {sentence}")
        state, start = None, 0
        if found:
            state, meta = found
            self.window = Window(meta["window"], self.device.row)
            self.saved = start = int(state.step)
            self.display.say(f"continuing after step {start}")
        self.device.begin(state, start, self.plan.total_steps)
        return start

    def _train(self, start: int) -> Generator[Any, Any, None]:
        plan = self.plan
        with self.display.progress(start, plan.total_steps, self.config) as progress:
            for step in range(start + 1, plan.total_steps + 1):
                self.window.add(step, (yield UPDATE))
                progress.advance(step)
                self.alive()
                if is_due(step, plan.log_every, plan.total_steps):
                    self._report(step, progress)
                with progress.paused():
                    yield from self._evaluate_and_save(step)
                signal = self.interruption.signal
                if signal is not None and step < plan.total_steps:
                    self._save(step)
                    self.checkpoints.wait()
                    raise InterruptedRun(signal, step)

    def _report(self, step: int, progress: StepProgress) -> None:
        try:
            figures = self.window.take()
        except NonFiniteLossError as error:
            self._diverged(error)
        self.log.write(step, "train", figures | progress.report(step, figures))

    def _evaluate_and_save(self, step: int) -> Generator[Any, Any, None]:
        plan, accuracy, improved = self.plan, None, False
        if self.dataset.validation and is_due(step, plan.evaluate_every, plan.total_steps):
            outcomes = yield self.dataset.validation
            figures = summarize(outcomes, self.dataset.class_names)
            accuracy = figures["accuracy"]
            improved = self.best is None or accuracy > self.best[1]
            self.display.figures(f"step {step}, validation", figures)
            scalars = {name: v for name, v in figures.items() if isinstance(v, float)}
            self.log.write(step, "validation", scalars)
        if improved:
            self.best = step, accuracy
        if improved or is_due(step, plan.checkpoint_every, plan.total_steps):
            self._save(step, accuracy)

    def _save(self, step: int, accuracy: float | None = None) -> None:
        if step == self.saved:
            return
        try:
            window = self.window.totals()
        except NonFiniteLossError as error:
            self._diverged(error)
        meta = {
            "step": step,
            "config": to_plain(self.config),
            "fingerprint": fingerprint(self.config),
            "window": window,
            "best": self.best,
            "versions": provenance()["versions"],
        }
        self.checkpoints.save(step, self.device.state(), meta, accuracy)
        self.saved = step

    def _diverged(self, error: NonFiniteLossError) -> NoReturn:
        self.checkpoints.wait()
        steps = self.checkpoints.steps()
        last = f"the last good checkpoint is step {steps[-1]}" if steps else "none was saved before"
        raise NonFiniteLossError(
            f"{error}; {last}, in {self.folder.checkpoints}; the config is "
            f"{self.folder.config_file}: try a lower optimizer.learning_rate, a longer "
            "schedule.warmup or train.clip_norm"
        ) from error

    def _finish(self, begun: float) -> Steps:
        outcomes = yield self.dataset.test
        step = self.plan.total_steps
        result = {
            "step": step,
            "seed": self.config.seed,
            "input_shape": self.dataset.input_shape,
            "test": summarize(outcomes, self.dataset.class_names),
            "validation": figures_at(self.folder.metrics_file, step, "validation"),
            "best": self.best and {"step": self.best[0], "accuracy": self.best[1]},
            "seconds": round(time.perf_counter() - begun, 3),
            "fingerprint": fingerprint(self.config),
            "config": to_plain(self.config),
        } | provenance()
        if is_first():
            self.folder.finish(result, outcomes)
        self.display.result(self.folder, result)
        return result
