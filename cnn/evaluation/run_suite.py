"""Runs one suite on one run, with a progress bar and partial and final results on disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.results import ResultFile
from cnn.evaluation.suite import Asked, Progress, Results
from cnn.evaluation.suites import SUITES


def run_suite(
    run: CheckpointedRun,
    split: str,
    suite: Asked,
    *,
    quiet: bool = False,
    alive: Callable[[], None] = lambda: None,
) -> Results:
    """Runs a suite, writes its `ResultFile` and returns the results.

    Partial results are written as incomplete, unless complete ones exist. `alive` is called
    whenever the suite reports progress.

    Raises:
      UserError: the suite does not support the run's signal, or raised by the suite.
    """
    entry = SUITES[suite.name]
    signal = run.evaluator.config.data.signal
    if signal not in entry.supported():
        raise UserError(
            f"--suite: {suite.name} is defined for {' and '.join(entry.supported())} runs, but "
            f"{run.folder.path} was trained on {signal}; leave it out"
        )
    file = ResultFile.of(run.folder, suite, run.step, split, run.changes)
    was_complete = file.is_complete()

    def keep(results: Results) -> None:
        if not was_complete:
            file.write(results, complete=False)

    with _bar(suite.name, quiet) as show:

        def advance(done: int, total: int) -> None:
            show(done, total)
            alive()

        progress = Progress(folder=file.folder, show=advance, keep=keep)
        results = entry.measure(run, split, progress, **(entry.defaults() | dict(suite.options)))
    file.write(results, complete=True)
    return results


@contextmanager
def _bar(suite: str, quiet: bool) -> Iterator:
    """Shows a progress bar on terminals, unless quiet."""
    console = Console()
    columns = (
        TextColumn(suite),
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(),
    )
    hidden = quiet or not console.is_terminal
    with Bar(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(suite, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
