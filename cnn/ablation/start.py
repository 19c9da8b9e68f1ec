"""The commands of ablate.py: plan, register, run, report, verify, compact and claim."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from cnn.ablation.analysis.study_results import Study
from cnn.ablation.execution.local_pool import LocalPool, threads, workers_here
from cnn.ablation.execution.runner import Pool, run_study
from cnn.ablation.execution.suites_of_run import check_measurable
from cnn.ablation.execution.task import Task, find_task
from cnn.ablation.execution.watchdog import PATIENCE
from cnn.ablation.planning.runs import Run, arms_of
from cnn.ablation.planning.study_file import load_study
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.config.errors import UserError, did_you_mean
from cnn.config.plugin import load_plugins
from cnn.training.run_folder import check_output

ENGINES = ("local", "ray")


def plan(
    config: str,
    overrides: list[str],
    workers: int | None,
    delta: float | None,
    accuracy: float,
    workdir: str | None,
    plugin: Sequence[str] = (),
) -> None:
    """Prints the expected time of a study and the differences that it can detect.

    Args:
      config: study file.
      overrides: of every arm.
      workers: processes that would train; None: one per GPU or core.
      delta: difference to plan seeds for, in percentage points; None: the study's margin.
      accuracy: that is assumed where no run is finished, in percent.
      workdir: of the study, whose finished runs give the standard deviation over seeds.
      plugin: files to load, besides those that the study names.
    """
    workers = workers_here() if workers is None else workers
    _check_workers(workers)
    if delta is not None and not 0 < delta < 100:
        raise UserError(f"--delta: {delta} is not a difference; give percentage points above 0")
    if not 0 < accuracy < 100:
        raise UserError(f"--accuracy: {accuracy} is not between 0 and 100 percent")
    # Before jax initializes: measure with as many threads as a worker has.
    os.environ.update(threads(workers))
    from rich.console import Console

    from cnn.ablation.analysis.forecast import forecast
    from cnn.ablation.report.forecast_text import print_forecast
    from cnn.training.start import use_compilation_cache

    use_compilation_cache()
    study = _matched(load_study(config, overrides, plugin))
    wanted = study.stored_margin if delta is None else delta / study.described.scale
    folder = Path(workdir).absolute() if workdir else None
    print_forecast(
        forecast(study, workers, wanted, accuracy / 100, folder), Console(highlight=False)
    )


def run(
    config: str,
    workdir: str,
    overrides: list[str],
    workers: int | None = None,
    task: str | None = None,
    engine: str = "local",
    gpus: float | None = None,
    retries: int | None = None,
    replicas: int | None = None,
    patience: float | None = None,
    strict: bool = False,
    plugin: Sequence[str] = (),
) -> None:
    """Trains what is not finished, and reports.

    Args:
      config: study file.
      workdir: folder of the study.
      overrides: of every arm.
      workers: local: processes that train; None: one per GPU or core.
      task: "i/n", which of several such commands this is; None: as the cluster says.
      engine: "local" or "ray".
      gpus: Ray: GPUs per run; None: 0.
      retries: Ray: restarts of a run whose node died; None: 3.
      replicas: local: seeds of an arm trained together in one process; None: one per accelerator,
        and one on CPUs.
      patience: minutes without progress after which a run is stopped; None: 30.
      strict: see `report`.
      plugin: files to load, besides those that the study names.
    """
    shared = find_task(task)
    folder = StudyFolder(Path(workdir).absolute())
    if patience is not None and patience <= 0:
        raise UserError(f"--patience: {patience:g} minutes are too short for a step")
    seconds = PATIENCE if patience is None else 60 * patience
    start_pool = _engine(engine, folder.path, shared, workers, gpus, retries, replicas, seconds)
    study = load_study(config, overrides, plugin)
    known = folder.matched(config, overrides)
    if "time" in (study.match, study.matched) and not known:
        if shared.count != 1:
            raise UserError(
                "--task: times are measured once for all tasks; start one command without --task "
                "first, and the tasks once its study.json exists"
            )
        # Measure with as many threads as a worker has.
        os.environ.update(threads(workers_here() if workers is None else workers))
    study = known or _matched(study)
    check_measurable(chain.from_iterable(arms_of(study, folder.path).values()))
    folder.begin(study, config, overrides)
    if stopped := run_study(folder, start_pool, shared):
        print("stopped; all checkpoints are saved, and the same command continues")
        sys.exit(128 + stopped)
    report([workdir], strict=strict)


def register(config: str, workdir: str, overrides: list[str], plugin: Sequence[str] = ()) -> None:
    """Freezes a study before training, and prints its hash.

    Args:
      config: study file.
      workdir: folder of the study.
      overrides: of every arm.
      plugin: files to load, besides those that the study names.
    """
    from cnn.ablation.planning.registration import register_study

    folder = StudyFolder(Path(workdir).absolute())
    study = _matched(load_study(config, overrides, plugin))
    print(f"registered: SHA-256 {register_study(folder, study, config, overrides)}")
    print(f"train it with: {folder.command()}")


def verify(workdir: str, plugin: Sequence[str] = ()) -> None:
    """Recomputes the reports of a study, without training, and compares them byte by byte.

    Args:
      workdir: folder of the study.
      plugin: files to load, without which the cost of their networks is n/a.

    Raises:
      UserError: a report differs from what the outcomes of the runs give.
    """
    load_plugins(plugin)
    from cnn.ablation.analysis.study_analysis import analyze
    from cnn.ablation.report.verification import verify_report

    folder = StudyFolder(Path(workdir).absolute())
    analysis = analyze(_collected(folder, plugin))
    files = ", ".join(file.name for file in verify_report(analysis, folder.path))
    kept = "per-example outcomes" if analysis.examples else "results"
    besides = "" if analysis.examples else "; outcomes of single examples were not kept"
    print(f"verified: {files} are what the {kept} of the runs give{besides}")


def compact(workdir: str, out: str, plugin: Sequence[str] = ()) -> None:
    """Writes a compact copy of a study, with per-example outcomes as bits, and renders its report.

    Args:
      workdir: folder of the study.
      out: empty folder for the copy, which is written completely or not at all.
      plugin: see `report`.

    Raises:
      UserError: the folder is not empty, or the study cannot be reported or copied.
    """
    load_plugins(plugin)
    from rich.console import Console

    from cnn.ablation.analysis.outcomes import compact_copy
    from cnn.ablation.analysis.study_analysis import analyze
    from cnn.ablation.report import write_report
    from cnn.ablation.report.terminal import print_report
    from cnn.config.atomic import whole_folder
    from cnn.training.run_folder import check_free

    folder, place = StudyFolder(Path(workdir).absolute()), Path(out).absolute()
    check_free(place, "--out")
    study = replace(_collected(folder, plugin), command=folder.command(place))
    analysis = analyze(study)
    with whole_folder(place) as partial:
        found = compact_copy(folder, partial)
        files = write_report(analysis, partial)
    print(f"{len(found.runs)} runs of {found.correct.shape[1]:,} test examples")
    print_report(analysis, [place / file.name for file in files], Console(highlight=False))


def claim(name: str | None, workdir: str | None, plugin: Sequence[str] = ()) -> None:
    """Prints the answer of a study to a published claim; without a study, the claim or all claims.

    Args:
      name: of the claim; None: list all.
      workdir: folder of a study that has its arms; None: show how to test it.
      plugin: files to load, which may add claims.
    """
    load_plugins(plugin)
    from cnn.ablation.claims import CLAIMS
    from cnn.ablation.claims.answer import answer
    from cnn.ablation.claims.claim_text import answer_lines, claim_card, claim_list

    if name is None:
        if workdir:
            raise UserError("--workdir: name the claim that the study is to answer")
        print(claim_list())
        return
    tried = CLAIMS.look_up(name, "claim")
    if workdir is None:
        print(claim_card(name, tried))
        return
    study = _collected(StudyFolder(Path(workdir).absolute()), plugin)
    for network in study.networks:
        if network:
            print(f"on {network}:")
        print("\n".join(answer_lines(name, tried, study, answer(tried, study, network))))


def _engine(
    name: str,
    folder: Path,
    task: Task,
    workers: int | None,
    gpus: float | None,
    retries: int | None,
    replicas: int | None,
    patience: float,
) -> Callable[[list[Run]], Pool]:
    """Returns a function that starts the workers of an engine; refuses options of the other."""
    if name not in ENGINES:
        raise UserError(f"--engine: unknown '{name}': {did_you_mean(name, ENGINES)}")
    own = {"workers": workers, "replicas": replicas}
    unread = own if name == "ray" else {"gpus": gpus, "retries": retries}
    for option, value in unread.items():
        if value is not None:
            raise UserError(f"--{option}: has no effect with --engine={name}; leave it out")
    if name == "local":
        if replicas is not None and replicas < 1:
            raise UserError(f"--replicas: {replicas} is less than 1")
        count = workers_here(replicas) if workers is None else workers
        _check_workers(count)
        return lambda runs: LocalPool(folder, count, runs, task, replicas or 0, patience)
    for option, value in {"gpus": gpus, "retries": retries}.items():
        if value is not None and value < 0:
            raise UserError(f"--{option}: {value} is less than 0")
    from cnn.ablation.execution.ray_pool import RayPool

    again = 3 if retries is None else retries
    return lambda runs: RayPool(task.order(runs), gpus or 0, again, patience)


def report(
    workdirs: Sequence[str],
    out: str | None = None,
    strict: bool = False,
    plugin: Sequence[str] = (),
) -> None:
    """Renders the report of each study from its run folders alone, and a table of several studies.

    Args:
      workdirs: folders of the studies.
      out: folder for the table of several studies; None: that of the first.
      strict: refuses runs of several commits or kinds of hardware, or of uncommitted changes.
      plugin: files to load; without them the cost of their networks is n/a, and a study of their
        suites cannot be read.

    Raises:
      UserError: a study cannot be reported, or a folder is named twice.
    """
    load_plugins(plugin)
    from rich.console import Console

    from cnn.ablation.analysis.study_analysis import analyze
    from cnn.ablation.report import write_report
    from cnn.ablation.report.combined import write_studies
    from cnn.ablation.report.terminal import print_files, print_report

    folders = [StudyFolder(Path(workdir).absolute()) for workdir in workdirs]
    if len(set(folders)) < len(folders):
        raise UserError("--workdir: a folder is named twice; name each study once")
    if out is not None and len(folders) == 1:
        raise UserError("--out: is for the table of several studies; name several --workdir")
    place = folders[0].path if out is None else Path(out).absolute()
    if out is not None:
        check_output(place / "studies.md", "--out")
    console = Console(highlight=False)
    analyses = [analyze(_collected(folder, plugin)) for folder in folders]
    for folder, analysis in zip(folders, analyses, strict=True):
        if strict and analysis.provenance:
            limits = "; ".join(" ".join(limit) for limit in analysis.provenance)
            raise UserError(f"--strict: {folder.path}: {limits}")
        print_report(analysis, write_report(analysis, folder.path), console)
    if len(folders) > 1:
        place.mkdir(parents=True, exist_ok=True)
        print_files(write_studies(analyses, place), console)


def _collected(folder: StudyFolder, plugin: Sequence[str]) -> Study:
    """Returns the results of a study; if they cannot be read, says which plugins are needed."""
    from cnn.ablation.analysis.collect import collect

    try:
        return collect(folder)
    except UserError as error:
        needed = [f"--plugin={os.path.relpath(file)}" for file in folder.plan().plugins]
        if plugin or not needed:
            raise
        raise UserError(
            f"{folder.path}: the study was run with plugins, which are Python code and never "
            f"loaded by themselves; add: {shlex.join(needed)}"
        ) from error


def _matched(study: StudyPlan) -> StudyPlan:
    """Matches the cost of the arms, if the study asks for it."""
    from cnn.ablation.planning.matching import matched, with_matched

    if study.matched:
        return with_matched(study)
    return matched(study) if study.match else study


def _check_workers(workers: int) -> None:
    if workers < 1:
        raise UserError(f"--workers: {workers} is less than 1")
