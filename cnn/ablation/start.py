"""The commands of ablate.py: plan, run and report."""

import os
from pathlib import Path

from cnn.ablation.plan import load_study
from cnn.ablation.runner import run_study, threads
from cnn.ablation.study_folder import StudyFolder
from cnn.ablation.task import find_task
from cnn.config.errors import UserError


def plan(
    config: str,
    overrides: list[str],
    workers: int,
    delta: float | None,
    accuracy: float,
    workdir: str | None,
) -> None:
    """Prints what a study would take and what it could tell.

    Args:
      config: study file.
      overrides: of every arm.
      workers: processes that would train.
      delta: difference to plan seeds for, in percentage points; None: the study's margin.
      accuracy: that is assumed where no run is finished, in percent.
      workdir: of the study, whose finished runs tell how much seeds differ.
    """
    _check_workers(workers)
    if delta is not None and not 0 < delta < 100:
        raise UserError(f"--delta: {delta} is not a difference; give percentage points above 0")
    if not 0 < accuracy < 100:
        raise UserError(f"--accuracy: {accuracy} is not between 0 and 100 percent")
    # Before anything touches a device: the threads that a worker has are those to measure with.
    os.environ.update(threads(workers))
    from rich.console import Console

    from cnn.ablation.forecast import forecast
    from cnn.ablation.forecast_text import print_forecast
    from cnn.training.start import use_compilation_cache

    use_compilation_cache()
    study = load_study(config, overrides)
    wanted = study.margin if delta is None else delta / 100
    folder = Path(workdir).absolute() if workdir else None
    print_forecast(
        forecast(study, workers, wanted, accuracy / 100, folder), Console(highlight=False)
    )


def run(
    config: str, workdir: str, workers: int, overrides: list[str], task: str | None = None
) -> None:
    """Trains what is not finished, and reports.

    Args:
      config: study file.
      workdir: folder of the study.
      workers: processes that train.
      overrides: of every arm.
      task: "i/n", which of several such commands this is; None: as the cluster says.
    """
    _check_workers(workers)
    shared = find_task(task)
    folder = StudyFolder(Path(workdir).absolute())
    folder.begin(load_study(config, overrides), config, overrides)
    run_study(folder, workers, shared)
    report(workdir)


def report(workdir: str) -> None:
    """Renders the report from the run folders alone."""
    from cnn.ablation.collect import collect
    from cnn.ablation.report import render_markdown, write_report

    folder = StudyFolder(Path(workdir).absolute())
    study = collect(folder)
    files = write_report(study, folder.path)
    print(render_markdown(study))
    print("\n".join(str(file) for file in files))


def _check_workers(workers: int) -> None:
    if workers < 1:
        raise UserError(f"--workers: {workers} is less than 1")
