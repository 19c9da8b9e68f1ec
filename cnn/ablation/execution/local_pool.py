"""Runs a study in local processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import cnn
from cnn.ablation.execution.gpus import gpu_of_worker, visible_gpus
from cnn.ablation.execution.task import Task
from cnn.ablation.execution.watchdog import HUNG, PATIENCE
from cnn.ablation.execution.worker import blame
from cnn.ablation.planning.runs import Run
from cnn.training.ownership import TAKEN_OVER, is_held_by, release
from cnn.training.provenance import usable_cores


class LocalPool:
    """Worker processes; one that dies is replaced, unless it was stopped."""

    def __init__(
        self,
        workdir: Path,
        workers: int,
        runs: list[Run],
        task: Task,
        replicas: int = 0,
        patience: float = PATIENCE,
    ):
        self._command = [sys.executable, "-m", "cnn.ablation.execution.worker"]
        self._command += [str(workdir), str(task), str(replicas), str(patience)]
        # From any working directory, installed or not.
        paths = [str(Path(cnn.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self._environment = os.environ | threads(workers)
        self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._runs, self._gpus = runs, visible_gpus()
        self._workers = workers
        self._processes = [self._start(worker) for worker in range(workers)]

    def _start(self, worker: int) -> subprocess.Popen:
        environment = self._environment | gpu_of_worker(worker, self._workers, self._gpus)
        # Ctrl-C in a terminal reaches only this process, which stops the workers once. They notice
        # its death when their standard input closes.
        pipe = subprocess.PIPE
        return subprocess.Popen(self._command, stdin=pipe, env=environment, process_group=0)

    def poll(self) -> bool:
        """Replaces dead workers; returns whether any is running."""
        for i, process in enumerate(self._processes):
            if process.poll() not in (None, 0) and self._blame(process):
                self._processes[i] = self._start(i)
        return any(process.poll() is None for process in self._processes)

    def _blame(self, process: subprocess.Popen) -> bool:
        """Records why the runs of a dead worker failed; returns whether it held any."""
        held = self._release(process)
        # A worker that made no progress has recorded this itself.
        if process.returncode != HUNG:
            blame(held, f"its process died {_of(process.returncode)}")
        return bool(held) or process.returncode == TAKEN_OVER

    def _release(self, process: subprocess.Popen) -> list[Run]:
        """Releases the runs that an ended process held; returns them."""
        process.stdin.close()
        held = [run for run in self._runs if is_held_by(run.folder, process.pid)]
        for run in held:
            release(run.folder)
        return held

    def stop(self) -> None:
        """Asks every worker to stop after its current step, and waits for it."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            process.wait()
            self._release(process)


def _of(code: int) -> str:
    """Describes how a process died."""
    if code == -signal.SIGKILL:
        return "of signal 9 (SIGKILL), usually because the machine ran out of memory"
    return f"of signal {-code}" if code < 0 else f"with exit code {code}"


def workers_here(replicas: int | None = None) -> int:
    """Returns the default number of workers: one per GPU, else one per core or replica."""
    return len(visible_gpus()) or max(1, usable_cores() // (replicas or 1))


def threads(workers: int) -> dict[str, str]:
    """Limits each of several workers to one thread, so that they do not compete for cores."""
    if workers == 1:
        return {}
    flags = os.environ.get("XLA_FLAGS", "")
    return {"XLA_FLAGS": f"{flags} --xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}
