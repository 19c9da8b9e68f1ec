"""Trains and evaluates the unclaimed runs of a study, one or a few seeds at a time."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import jax

from cnn.ablation.execution.due import due_runs, has_phases, is_open
from cnn.ablation.execution.suites_of_run import measure_missing
from cnn.ablation.execution.task import parse_task
from cnn.ablation.execution.watchdog import PATIENCE, Watchdog
from cnn.ablation.planning.runs import Run
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.config.atomic import write_atomically
from cnn.config.errors import UserError
from cnn.config.plugin import load_plugins
from cnn.training.interruption import InterruptedRun
from cnn.training.loop import train
from cnn.training.mesh import check_platform
from cnn.training.metrics import NonFiniteLossError
from cnn.training.ownership import HEARTBEAT, Ownership
from cnn.training.replicas import Ending, train_replicas
from cnn.training.run_folder import RunFolder
from cnn.training.start import use_compilation_cache


def record_failure(run: Run, sentence: str, *, diverged: bool = False) -> None:
    """Records why a run failed, for the report; a diverged run makes its arm unstable."""
    failure = {"error": sentence, "diverged": diverged}
    write_atomically(RunFolder(run.folder).failure_file, json.dumps(failure) + "\n")


def alone_file(folder: Path) -> Path:
    """Returns the file that marks a run to be trained alone, not in a group of replicas."""
    return folder.with_name(folder.name + ".alone")


def blame(runs: list[Run], sentence: str) -> None:
    """Records why the worker of these runs ended.

    A single run counts as failed. Of several, any may be the cause: each is then trained alone,
    which identifies it and lets the others finish.
    """
    for run in runs:
        if len(runs) > 1:
            alone_file(run.folder).touch()
        else:
            record_failure(run, sentence)


def work(
    runs: list[Run], replicas: int = 1, patience: float = PATIENCE, to_end: bool = False
) -> int:
    """Trains every open, unclaimed run; returns an exit code.

    After a failed run, training continues with the next one. A worker that dies leaves its claim,
    by which the study's runner finds the runs it held. Workers without a recent heartbeat are
    waited for, until they send one or count as dead.

    Args:
      runs: of the study, in the order to train them in.
      replicas: seeds of one arm that are trained together in one process.
      patience: seconds without progress after which this process releases its runs and ends.
      to_end: waits for runs of other workers, because further runs depend on them.
    """
    while True:
        code, waiting = _pass(runs, replicas, patience)
        if code or not (waiting or (to_end and any(map(is_open, runs)))):
            return code
        time.sleep(HEARTBEAT)


def _pass(runs: list[Run], replicas: int, patience: float) -> tuple[int, bool]:
    """Iterates once over all runs; returns an exit code, and whether some worker may be dead."""
    waiting = False
    for run in runs:
        if not is_open(run):
            continue
        same = [r for r in runs if (r.network, r.arm) == (run.network, run.arm)]
        # The run itself comes first; others of its arm get their own turn if not claimed here.
        with _claimed([run, *(r for r in same if r is not run)], replicas) as (held, silent):
            waiting |= silent
            try:
                with Watchdog(patience, partial(blame, held)) as dog:
                    endings = _work_on(held, replicas, dog.alive)
            except InterruptedRun as stopped:
                return 128 + stopped.signal, waiting
            for one, ending in zip(held, endings, strict=True):
                if isinstance(ending, Exception):
                    diverged = isinstance(ending, NonFiniteLossError)
                    record_failure(one, _sentence(ending), diverged=diverged)
                alone_file(one.folder).unlink(missing_ok=True)
    return 0, waiting


@contextmanager
def _claimed(runs: list[Run], most: int) -> Iterator[tuple[list[Run], bool]]:
    """Claims the first available open runs; also returns whether another worker may be dead."""
    held, silent = [], False
    with ExitStack() as stack:
        for run in filter(is_open, runs):
            alone = alone_file(run.folder).exists()
            if held and alone:
                continue
            ownership = stack.enter_context(Ownership(run.folder))
            silent |= ownership.silent
            if ownership.held and is_open(run):
                held.append(run)
            if len(held) == most or not held or alone:
                break
        yield held, silent


def _work_on(runs: list[Run], replicas: int, alive: Callable[[], None]) -> list[Ending]:
    """Trains runs of one arm and runs their suites; returns each result or error."""
    endings = _train(runs, replicas, alive)
    return [_measure(*pair, alive) for pair in zip(runs, endings, strict=True)]


def _measure(run: Run, ending: Ending, alive: Callable[[], None]) -> Ending:
    if isinstance(ending, Exception):
        return ending
    try:
        load_plugins(run.plugins)
        measure_missing(run, alive)
    except Exception as error:
        return error
    return ending


def _train(runs: list[Run], replicas: int, alive: Callable[[], None]) -> list[Ending]:
    """Trains runs of one arm; returns the result or error of each."""
    try:
        configs, folders = [run.load().config for run in runs], [run.folder for run in runs]
        # A single remaining seed also runs on one device, like the others.
        if replicas > 1 and runs:
            return train_replicas(configs, folders, alive=alive)
        return [
            train(config, str(folder), quiet=True, alive=alive)
            for config, folder in zip(configs, folders, strict=True)
        ]
    except InterruptedRun:
        raise
    except Exception as error:
        return [error] * len(runs)


def _sentence(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    return f"{type(error).__name__}: {error}".splitlines()[0]


def stop_without(runner: int) -> None:
    """Stops this process when its runner is gone, as the runner would have.

    Args:
      runner: file descriptor of a pipe whose other end the runner holds.
    """

    def watch() -> None:
        # Not through `sys.stdin`, whose lock would be held when the interpreter ends.
        os.read(runner, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="runner", daemon=True).start()


def main(workdir: str, task: str, replicas: str, patience: str) -> int:
    """Trains the due runs of a study; replicas "0" means one per accelerator, and one on CPUs."""
    stop_without(sys.stdin.fileno())
    use_compilation_cache()
    if int(replicas):
        jax.config.update("jax_num_cpu_devices", int(replicas))
    check_platform()
    folder = StudyFolder(Path(workdir))
    runs = parse_task(task).order(due_runs(folder))
    accelerators = 1 if jax.default_backend() == "cpu" else jax.device_count()
    to_end = has_phases(folder.plan())
    return work(runs, int(replicas) or accelerators, float(patience), to_end)


if __name__ == "__main__":
    from cnn.config.entry import run_command

    run_command(lambda arguments: sys.exit(main(*arguments)))
