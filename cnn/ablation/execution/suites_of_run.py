"""Evaluation suites that a study measures on every run."""

from collections.abc import Callable, Iterable

from cnn.ablation.planning.runs import Run
from cnn.ablation.planning.study_plan import SPLIT
from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.results import ResultFile
from cnn.evaluation.run_suite import run_suite
from cnn.evaluation.suite import Asked
from cnn.evaluation.suites import chosen
from cnn.training.run_folder import RunFolder


def missing(run: Run) -> list[Asked]:
    """Returns the suites whose results a finished run lacks or has incompletely."""
    asked = [suite for text in run.suites for suite in chosen(text)]
    return [suite for suite in asked if not _is_there(run, suite)]


def check_measurable(runs: Iterable[Run]) -> None:
    """Refuses suites that finished runs lack and cannot be measured on.

    Raises:
      UserError: a run has no checkpoints.
    """
    for run in runs:
        folder = RunFolder(run.folder)
        finished = folder.result_file.is_file()
        if finished and not folder.checkpoints.is_dir() and (left := missing(run)):
            raise UserError(
                f"suites: {', '.join(suite.name for suite in left)} cannot be measured on "
                f"{run.folder}, which has no checkpoints; leave them out, or run the study where "
                "its checkpoints are (compact copies have none)"
            )


def measure_missing(run: Run, alive: Callable[[], None]) -> None:
    """Runs the missing suites on the last checkpoint, calling `alive` meanwhile.

    Raises:
      UserError: a suite does not fit the run.
    """
    left = missing(run)
    opened = open_run(str(run.folder), split=SPLIT) if left else None
    for suite in left:
        run_suite(opened, SPLIT, suite, quiet=True, alive=alive)


def _is_there(run: Run, suite: Asked) -> bool:
    folder = RunFolder(run.folder)
    result = folder.result()
    if result is None:
        return False
    return ResultFile.of(folder, suite, result["step"], SPLIT).is_complete()
