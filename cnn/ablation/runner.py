"""Runs a study on this machine: a pool of workers, what became of each run, and the time left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cnn.ablation.claim import LOST, claim_file, is_held_by
from cnn.ablation.plan import Run, arms_of
from cnn.ablation.study_folder import StudyFolder
from cnn.ablation.task import Task
from cnn.ablation.worker import failure_file, interleave, is_open, record_failure
from cnn.training.console import format_seconds

_POLL = 0.5  # seconds


def run_study(folder: StudyFolder, workers: int, task: Task) -> None:
    """Trains what is not finished, in as many processes; failed runs are tried again.

    Any number of these may work on one folder at the same time, on one host or several.

    Args:
      folder: of the study, on a file system that all of them share.
      workers: processes.
      task: which of several this is.
    """
    plan = folder.plan()
    runs = interleave(arms_of(plan, folder.path))
    for run in task.share(runs):
        failure_file(run.folder).unlink(missing_ok=True)
    console = Console(highlight=False)
    console.print(f"{plan.name}: {len(runs)} runs, {sum(map(is_open, runs))} of them to train")
    if task != Task():
        console.print(f"this is task {task}, counted from 0; it begins with its own share")
    pool = _Pool(folder.path, workers, runs, task)
    try:
        _watch(pool, runs, console)
    finally:
        pool.stop()


class _Pool:
    """Worker processes; one that dies of something else than a signal to stop is replaced."""

    def __init__(self, workdir: Path, workers: int, runs: list[Run], task: Task):
        self._command = [sys.executable, "-m", "cnn.ablation.worker", str(workdir), str(task)]
        self._environment = os.environ | threads(workers)
        self._runs = runs
        self._processes = [self._start() for _ in range(workers)]

    def _start(self) -> subprocess.Popen:
        return subprocess.Popen(self._command, env=self._environment)

    def poll(self) -> bool:
        """Replaces dead workers; returns whether any is at work."""
        for i, process in enumerate(self._processes):
            if process.poll() not in (None, 0) and self._blame(process):
                self._processes[i] = self._start()
        return any(process.poll() is None for process in self._processes)

    def _blame(self, process: subprocess.Popen) -> bool:
        """Notes the run that a dead worker held as failed; returns whether there was one."""
        for run in self._runs:
            if is_held_by(run.folder, process.pid):
                record_failure(run, f"its process died {_of(process.returncode)}")
                claim_file(run.folder).unlink(missing_ok=True)
                return True
        return process.returncode == LOST

    def stop(self) -> None:
        """Asks every worker to stop after its step, and waits for it."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            process.wait()


def _of(code: int) -> str:
    """Says what a process died of."""
    if code == -signal.SIGKILL:
        return "of signal 9 (SIGKILL), which is what a machine sends that is out of memory"
    return f"of signal {-code}" if code < 0 else f"with exit code {code}"


def _watch(pool: _Pool, runs: list[Run], console: Console) -> None:
    begun, before = time.monotonic(), sum(not is_open(r) for r in runs)
    columns = (
        TextColumn("runs"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("runs", total=len(runs), completed=before, left="")
        while pool.poll():
            done = sum(not is_open(run) for run in runs)
            if done > before:
                seconds = (time.monotonic() - begun) / (done - before) * (len(runs) - done)
                bar.update(task, completed=done, left=f"{format_seconds(seconds)} left")
            time.sleep(_POLL)
        bar.update(task, completed=sum(not is_open(run) for run in runs), left="")


def threads(workers: int) -> dict[str, str]:
    """Gives each of several workers one thread, so that they do not fight for the cores."""
    if workers == 1:
        return {}
    flags = os.environ.get("XLA_FLAGS", "")
    return {"XLA_FLAGS": f"{flags} --xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}
