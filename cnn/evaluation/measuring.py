"""One suite on one run: progress on the screen, results and partial results on disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.suite import Asked, Figures, Progress, ResultFile
from cnn.evaluation.suites import SUITES


def measure(
    run: CheckpointedRun,
    split: str,
    suite: Asked,
    *,
    quiet: bool = False,
    alive: Callable[[], None] = lambda: None,
) -> Figures:
    """Measures, writes `<run folder>/evaluation/<suite>.json` and returns the figures.

    An interruption leaves the figures that the suite asked to keep, marked as incomplete; `alive`
    is called whenever some of the work is done.

    Raises:
      UserError: the suite does not measure such signals, or what it raises.
    """
    entry = SUITES[suite.name]
    signal = run.evaluator.config.data.signal
    if signal not in entry.signals:
        raise UserError(
            f"--suite: {suite.name} is defined for {' and '.join(sorted(entry.signals))} runs, and "
            f"{run.folder.path} was trained on {signal}; leave it out"
        )
    options = entry.defaults() | dict(suite.options)
    file = ResultFile(run.folder, suite.name)
    with _bar(suite.name, quiet) as show:

        def advance(done: int, total: int) -> None:
            show(done, total)
            alive()

        progress = Progress(
            folder=file.folder,
            show=advance,
            keep=lambda figures: file.write(
                run.step, split, figures, complete=False, options=options
            ),
        )
        figures = entry.measure(run, split, progress, **options)
    file.write(run.step, split, figures, complete=True, options=options)
    return figures


@contextmanager
def _bar(suite: str, quiet: bool) -> Iterator:
    """Shows a bar on a terminal, unless it has to be quiet, and nothing elsewhere."""
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
