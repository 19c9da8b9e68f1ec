"""Runs a study: starts a pool of workers, and shows progress and time left."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cnn.ablation.execution.due import due_runs, has_phases, is_open
from cnn.ablation.execution.task import Task
from cnn.ablation.execution.tuning import choose_settings
from cnn.ablation.planning.runs import Run
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.training.console import format_seconds
from cnn.training.interruption import Interruption
from cnn.training.ownership import is_owned
from cnn.training.run_folder import RunFolder

_POLL = 0.5  # seconds


class Pool(Protocol):
    """Workers that train the open runs of a study."""

    def poll(self) -> bool:
        """Supervises the workers; returns whether any is running."""

    def stop(self) -> None:
        """Stops the workers; their runs can be resumed."""


def run_study(
    folder: StudyFolder, start_pool: Callable[[list[Run]], Pool], task: Task
) -> int | None:
    """Trains all unfinished runs; failed runs are retried.

    Several processes, on one host or more, may work on one folder at the same time.

    Args:
      folder: of the study, on a file system shared by all processes.
      start_pool: starts the workers.
      task: which of these processes this is.

    Returns:
      The signal that stopped it, if one did.
    """
    console = Console(highlight=False)
    if task != Task():
        console.print(f"this is task {task}, counted from 0; it starts with its own share")
    known: set[Path] = set()
    with Interruption() as interruption:
        while interruption.signal is None:
            runs = due_runs(folder)
            _open_again(folder.plan(), [run for run in runs if run.folder not in known], task)
            known |= {run.folder for run in runs}
            _say(folder.plan(), runs, console)
            pool = start_pool(runs)
            try:
                _watch(pool, runs, console, interruption)
            finally:
                pool.stop()
            if interruption.signal is None and not _go_on(folder, known):
                break
    return interruption.signal


def _open_again(plan: StudyPlan, runs: list[Run], task: Task) -> None:
    """Removes the failures of a task's share; while the arms are tuned, crashes of all shares.

    Nothing is chosen before those have been trained again, whichever task was to begin with them.
    """
    share = {run.folder for run in task.share(runs)}
    for run in runs:
        folder = RunFolder(run.folder)
        if run.folder in share or (plan.tune and not plan.tuned and _has_crashed(folder)):
            folder.failure_file.unlink(missing_ok=True)


def _has_crashed(folder: RunFolder) -> bool:
    failure = folder.failure()
    return bool(failure) and not failure.get("diverged") and not is_owned(folder.path)


def _say(plan: StudyPlan, runs: list[Run], console: Console) -> None:
    what = "runs"
    if plan.race:
        seeds = max(Counter((run.network, run.arm) for run in runs).values())
        what = f"runs until the analysis at {seeds} seeds"
    if plan.tune and not plan.tuned:
        what = "runs to tune the arms"
    console.print(
        f"{plan.name}: {len(runs)} {what}, {sum(map(is_open, runs))} of them to train", markup=False
    )


def _go_on(folder: StudyFolder, known: set[Path]) -> bool:
    """Chooses tuned settings if that is due; returns whether new runs are due."""
    if not has_phases(folder.plan()):
        return False
    if folder.plan().tune and not folder.plan().tuned:
        choose_settings(folder)
    return any(run.folder not in known for run in due_runs(folder))


def _watch(pool: Pool, runs: list[Run], console: Console, interruption: Interruption) -> None:
    # Whether a run has ended takes reading all its results: a run that has is not asked again.
    left = [run for run in runs if is_open(run)]
    begun, before = time.monotonic(), len(runs) - len(left)
    columns = (
        TextColumn("runs"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("runs", total=len(runs), completed=before, left="")
        while pool.poll() and interruption.signal is None:
            left = [run for run in left if is_open(run)]
            done = len(runs) - len(left)
            if done > before:
                seconds = (time.monotonic() - begun) / (done - before) * len(left)
                bar.update(task, completed=done, left=f"{format_seconds(seconds)} left")
            time.sleep(_POLL)
        bar.update(task, completed=sum(not is_open(run) for run in runs), left="")
