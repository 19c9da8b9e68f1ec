"""The training loop: one run, from a config to a result."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from ml_collections import ConfigDict

from cnn.config.durations import is_due
from cnn.data import Dataset, open_dataset
from cnn.training.assembly import Trainer, make_evaluator, make_trainer
from cnn.training.console import Display
from cnn.training.evaluate import evaluate
from cnn.training.hosts import gather, is_first
from cnn.training.interruption import InterruptedRun, Interruption
from cnn.training.memory import reporting_out_of_memory
from cnn.training.ownership import wait_for_owner
from cnn.training.plan import make_training_plan
from cnn.training.run_folder import RunFolder
from cnn.training.run_record import RunRecord


def train(
    config: ConfigDict,
    workdir: str,
    dataset: Dataset | None = None,
    *,
    quiet: bool = False,
    alive: Callable[[], None] = lambda: None,
    instruments: Sequence[Callable[[Trainer], Trainer]] = (),
) -> dict[str, Any]:
    """Trains, or resumes training, and evaluates; everything is kept in the run folder.

    The same call resumes an interrupted run, which then ends with the same bytes as an
    uninterrupted one, and returns the result of a finished run without training.

    Args:
      config: a complete config, from `cnn.config.load`.
      workdir: the run folder.
      dataset: instead of the one that `config.data` describes.
      quiet: print nothing.
      alive: called after every step.
      instruments: each wraps the trainer, to watch its updates.

    Returns:
      What result.json holds.

    Raises:
      UserError: the config, data and folder are inconsistent, or data cannot be read.
      NonFiniteLossError: training diverged.
      InterruptedRun: SIGTERM or SIGINT was received.
    """
    folder, display = RunFolder(workdir), Display(quiet=quiet or not is_first())
    folder.check(config)
    gather(f"a run folder that {'is' if folder.result_file.exists() else 'is not'} finished")
    if result := folder.result():
        display.say(f"this run is finished, at step {result['step']}: nothing to train")
        display.result(folder, result)
        return result
    dataset = dataset or open_dataset(config.data)
    evaluator = make_evaluator(config, dataset)
    plan = make_training_plan(config, len(dataset.train), evaluator.mesh.size)
    trainer = make_trainer(evaluator, plan)
    for instrument in instruments:
        trainer = instrument(trainer)
    if is_first():
        # Outside of the interruption, which keeps a signal for the end of a step.
        wait_for_owner(folder.path)
    with (
        reporting_out_of_memory(config),
        Interruption() as interruption,
        RunRecord(folder, display, evaluator, plan, trainer.sources) as record,
    ):
        return run(trainer, record, interruption, alive)


def run(
    trainer: Trainer, record: RunRecord, interruption: Interruption, alive: Callable[[], None]
) -> dict[str, Any]:
    """Runs the remaining steps and the final evaluation; returns the result."""
    evaluator, plan, update = trainer.evaluator, trainer.plan, trainer.step
    dataset, total = evaluator.dataset, trainer.plan.total_steps
    views = evaluator.config.evaluation.views
    state = record.restore(trainer.abstract_state()) or trainer.new_state()
    start = int(state.step)
    validation = dataset.validation and evaluator.feed(dataset.validation, views)
    with closing(trainer.feed.batches(start, total)) as batches, record.progress(start):
        for step, batch in enumerate(batches, start + 1):
            state, sums = update(state, batch)
            record.add(step, sums)
            alive()
            if is_due(step, plan.log_every, total):
                record.report(step)
            with record.not_training():
                if validation and is_due(step, plan.evaluate_every, total):
                    outcomes = evaluate(evaluator.step, state.variables(), validation)
                    record.validate(step, outcomes)
                if record.is_save_due(step):
                    record.save(step, state)
            if step < total and (signal := interruption.due(step)):
                record.save(step, state)
                record.wait()
                raise InterruptedRun(signal, step)
    record.wait()
    # Everything is saved: a signal during the final evaluation may stop it at once.
    interruption.release()
    if signal := interruption.due(total):
        raise InterruptedRun(signal, total)
    test = evaluator.feed(dataset.test, views)
    return record.finish(evaluate(evaluator.step, state.variables(), test))
