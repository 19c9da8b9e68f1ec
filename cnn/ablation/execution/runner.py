"""Runs a study: starts a pool of workers, and shows progress and time left."""

import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cnn.ablation.execution.study_folder import StudyFolder, failure_file
from cnn.ablation.execution.task import Task
from cnn.ablation.execution.worker import is_open, seed_by_seed
from cnn.ablation.planning.study_plan import Run, arms_of
from cnn.training.console import format_seconds
from cnn.training.interruption import Interruption

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

    Any number of these may work on one folder at the same time, on one host or several.

    Args:
      folder: of the study, on a file system that all of them share.
      start_pool: starts the workers.
      task: which of several this is.

    Returns:
      The signal that stopped it, if one did.
    """
    plan = folder.plan()
    runs = seed_by_seed(arms_of(plan, folder.path))
    for run in task.share(runs):
        failure_file(run.folder).unlink(missing_ok=True)
    console = Console(highlight=False)
    console.print(
        f"{plan.name}: {len(runs)} runs, {sum(map(is_open, runs))} of them to train", markup=False
    )
    if task != Task():
        console.print(f"this is task {task}, counted from 0; it begins with its own share")
    with Interruption() as interruption:
        pool = start_pool(runs)
        try:
            _watch(pool, runs, console, interruption)
        finally:
            pool.stop()
    return interruption.signal


def _watch(pool: Pool, runs: list[Run], console: Console, interruption: Interruption) -> None:
    begun, before = time.monotonic(), sum(not is_open(r) for r in runs)
    columns = (
        TextColumn("runs"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("runs", total=len(runs), completed=before, left="")
        while pool.poll() and interruption.signal is None:
            done = sum(not is_open(run) for run in runs)
            if done > before:
                seconds = (time.monotonic() - begun) / (done - before) * (len(runs) - done)
                bar.update(task, completed=done, left=f"{format_seconds(seconds)} left")
            time.sleep(_POLL)
        bar.update(task, completed=sum(not is_open(run) for run in runs), left="")
