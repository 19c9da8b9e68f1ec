"""The spine: one run, from a config to a result."""

import time
from dataclasses import asdict
from typing import Any, NoReturn

from ml_collections import ConfigDict

from cnn.config.durations import is_due
from cnn.config.record import fingerprint, to_plain
from cnn.data import Dataset, Split, open_dataset
from cnn.training.assembly import Evaluator, Trainer, make_evaluator, make_trainer
from cnn.training.checkpoint import Checkpoints
from cnn.training.console import Display, StepProgress
from cnn.training.evaluate import Outcomes, evaluate
from cnn.training.hosts import is_first, wait_for_all
from cnn.training.interruption import InterruptedRun, Interruption
from cnn.training.logs import MetricLog, figures_at
from cnn.training.metrics import NonFiniteLossError, Window, summarize
from cnn.training.plan import Plan, resolve
from cnn.training.provenance import provenance
from cnn.training.run_folder import RunFolder
from cnn.training.state import TrainState


def train(
    config: ConfigDict, workdir: str, dataset: Dataset | None = None, *, quiet: bool = False
) -> dict[str, Any]:
    """Trains, or goes on training, and evaluates; everything is kept in the run folder.

    The same call continues an interrupted run, to the same bytes as an uninterrupted one, and
    returns the result of a finished one without training.

    Args:
      config: a complete config, from `cnn.config.load`.
      workdir: the run folder.
      dataset: instead of the one that `config.data` describes.
      quiet: print nothing.

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
    trainer = make_trainer(evaluator, plan)
    # Traces the network, which finds what does not fit before anything is written.
    evaluator.abstract_state()
    if is_first():
        folder.claim(config, asdict(plan) | {"mean": dataset.mean, "std": dataset.std})
    wait_for_all("claimed")
    display.network(config.model.name, evaluator.model, dataset.image_shape)
    display.plan(plan, evaluator.mesh)
    return _Run(folder, display, evaluator, trainer, plan).run()


class _Run:
    """One run while it is under way."""

    def __init__(
        self,
        folder: RunFolder,
        display: Display,
        evaluator: Evaluator,
        trainer: Trainer,
        plan: Plan,
    ):
        self.config, self.dataset = evaluator.config, evaluator.dataset
        self.folder, self.display, self.plan = folder, display, plan
        self.evaluator, self.trainer = evaluator, trainer
        self.checkpoints = Checkpoints(folder.checkpoints, self.config.checkpoint.keep)
        self.best = self.checkpoints.best()
        self.saved: int | None = None
        self.window = Window()
        self.log: MetricLog

    def run(self) -> dict[str, Any]:
        begun = time.perf_counter()
        state = self._begin()
        start = int(state.step)
        self.log = MetricLog(self.folder, start, tensorboard=self.config.log.tensorboard)
        try:
            with Interruption() as interruption:
                state = self._train(state, start, interruption)
                self.checkpoints.wait()
                return self._finish(state, begun)
        finally:
            self.log.close()
            self.checkpoints.close()

    def _begin(self) -> TrainState:
        """Restores the newest good checkpoint, or starts at step 0."""
        found, damaged = self.checkpoints.restore_newest(self.evaluator.abstract_state())
        for sentence in damaged:
            self.display.say(f"a damaged checkpoint was put aside: {sentence}")
        if found is None:
            return self.evaluator.new_state()
        state, meta = found
        self.window = Window(meta["window"])
        self.saved = int(state.step)
        self.display.say(f"continuing after step {self.saved}")
        return state

    def _train(self, state: TrainState, start: int, interruption: Interruption) -> TrainState:
        plan = self.plan
        batches = self.trainer.feed.batches(start, plan.total_steps)
        with self.display.progress(start, plan.total_steps, self.config) as progress:
            for step, batch in enumerate(batches, start + 1):
                state, sums = self.trainer.step(state, batch)
                self.window.add(step, sums)
                progress.advance(step)
                if is_due(step, plan.log_every, plan.total_steps):
                    self._report(step, progress)
                with progress.paused():
                    self._evaluate_and_save(step, state)
                if interruption.signal is not None and step < plan.total_steps:
                    self._save(step, state)
                    self.checkpoints.wait()
                    raise InterruptedRun(interruption.signal, step)
        return state

    def _report(self, step: int, progress: StepProgress) -> None:
        try:
            figures = self.window.take()
        except NonFiniteLossError as error:
            self._diverged(error)
        self.log.write(step, "train", figures | progress.report(step, figures))

    def _evaluate_and_save(self, step: int, state: TrainState) -> None:
        plan, accuracy, improved = self.plan, None, False
        if self.dataset.validation and is_due(step, plan.evaluate_every, plan.total_steps):
            figures = summarize(
                self._evaluate(state, self.dataset.validation), self.dataset.class_names
            )
            accuracy = figures["accuracy"]
            improved = self.best is None or accuracy > self.best[1]
            self.display.figures(f"step {step}, validation", figures)
            scalars = {name: v for name, v in figures.items() if isinstance(v, float)}
            self.log.write(step, "validation", scalars)
        if improved:
            self.best = step, accuracy
        if improved or is_due(step, plan.checkpoint_every, plan.total_steps):
            self._save(step, state, accuracy)

    def _evaluate(self, state: TrainState, split: Split) -> Outcomes:
        feed = self.evaluator.feed(split)
        return evaluate(self.evaluator.step, state.variables(), feed)

    def _save(self, step: int, state: TrainState, accuracy: float | None = None) -> None:
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
        self.checkpoints.save(step, state, meta, accuracy)
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

    def _finish(self, state: TrainState, begun: float) -> dict[str, Any]:
        outcomes = self._evaluate(state, self.dataset.test)
        step = self.plan.total_steps
        result = {
            "step": step,
            "seed": self.config.seed,
            "image_shape": self.dataset.image_shape,
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
