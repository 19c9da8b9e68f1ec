"""Trains the runs of a study that nobody else trains, one after another."""

import json
import sys
import time
from pathlib import Path

from cnn.ablation.claim import HEARTBEAT, Claim
from cnn.ablation.plan import Run, arms_of
from cnn.ablation.study_folder import StudyFolder
from cnn.ablation.task import parse_task
from cnn.config.errors import UserError
from cnn.training.interruption import InterruptedRun
from cnn.training.loop import train
from cnn.training.run_folder import RunFolder, write_atomically
from cnn.training.start import use_compilation_cache


def failure_file(folder: Path) -> Path:
    """Returns where a run's failure is told."""
    return folder.with_name(folder.name + ".failure.json")


def record_failure(run: Run, sentence: str) -> None:
    """Notes that a run failed, and why, for the report."""
    write_atomically(failure_file(run.folder), json.dumps({"error": sentence}) + "\n")


def is_open(run: Run) -> bool:
    """Whether a run has neither finished nor failed."""
    return not RunFolder(run.folder).result_file.exists() and not failure_file(run.folder).exists()


def work(runs: list[Run]) -> int:
    """Trains every open run that is not claimed; returns an exit code.

    A run that fails is noted and the next one is begun. A worker that dies leaves its claim, by
    which the study's runner knows what it died of. Others that show no sign of life are waited
    for, until they do or count as dead.
    """
    while True:
        code, waiting = _pass(runs)
        if code or not waiting:
            return code
        time.sleep(HEARTBEAT)


def _pass(runs: list[Run]) -> tuple[int, bool]:
    """Goes through all runs once; returns an exit code, and whether some worker may be dead."""
    waiting = False
    for run in runs:
        if not is_open(run):
            continue
        with Claim(run.folder) as claim:
            waiting |= claim.silent
            if not claim.held or not is_open(run):
                continue
            try:
                train(run.load().config, str(run.folder), quiet=True)
            except InterruptedRun as stopped:
                return 128 + stopped.signal, waiting
            except UserError as error:
                record_failure(run, str(error))
            except Exception as error:
                record_failure(run, f"{type(error).__name__}: {error}".splitlines()[0])
    return 0, waiting


def interleave(arms: dict[str, list[Run]]) -> list[Run]:
    """Orders runs seed by seed, so that an unfinished study has every arm at about equal seeds."""
    return [run for runs in zip(*arms.values(), strict=True) for run in runs]


def main(workdir: str, task: str) -> int:
    """Works on the study of a folder."""
    use_compilation_cache()
    folder = StudyFolder(Path(workdir))
    return work(parse_task(task).order(interleave(arms_of(folder.plan(), folder.path))))


if __name__ == "__main__":
    from cnn.config.entry import run_command

    run_command(lambda arguments: sys.exit(main(*arguments)))
