"""Run folders -> the results of a study, so that a report can always be made again."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cnn.ablation.analysis.outcomes import correct_of
from cnn.ablation.analysis.study_results import Arm, SeedRun, Study, Tuned
from cnn.ablation.planning.factors import Factors, factors_of
from cnn.ablation.planning.registration import registration
from cnn.ablation.planning.runs import Run, arm_overrides, arms_of
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import SPLIT, StudyPlan
from cnn.config.base import FIELDS
from cnn.config.errors import UserError
from cnn.config.load import apply_override
from cnn.config.metric import METRICS, Metric
from cnn.config.record import differences
from cnn.evaluation.results import ResultFile
from cnn.evaluation.suite import Asked
from cnn.evaluation.suites import SUITES, chosen
from cnn.training.logs import read_metrics
from cnn.training.run_folder import RunFolder


def collect(folder: StudyFolder) -> Study:
    """Reads every run of a study, finished or not.

    Raises:
      UserError: no run of the study has ended.
    """
    plan, workdir = folder.plan(), folder.path
    arms = arms_of(plan, workdir)
    made_with = _first_result(folder, [run for runs in arms.values() for run in runs])
    registered, changed = registration(folder)
    units = folder.units()
    baselines = {
        runs[0].network: _factors(runs, plan)
        for runs in arms.values()
        if runs[0].arm == plan.baseline
    }
    found = tuple(_arm(plan, runs, workdir, baselines) for runs in arms.values())
    if units is not None:
        _check_units(folder, found, len(units))
    return Study(
        name=plan.name,
        config=folder.description()["text"],
        arms=found,
        baseline=plan.baseline,
        margin=plan.stored_margin,
        metric=plan.metric,
        higher_is_better=plan.described.higher_is_better,
        paired=plan.paired,
        population=plan.population,
        schedule=folder.schedule(),
        race=plan.race,
        tuning=_tuning(folder, plan),
        factors=tuple((name, tuple(levels)) for name, levels in plan.factors.items()),
        unit=plan.unit,
        units=units,
        changed=(*folder.changes(), *changed),
        registered=registered,
        aa_arm=plan.aa_arm,
        base_config=plan.config,
        match=plan.match,
        matched=plan.matched,
        under_load=trained_together([run for runs in arms.values() for run in runs]),
        chance=_chance(made_with),
        versions=made_with.get("versions", {}),
        hardware=_hardware(made_with),
        commit=made_with.get("commit", ""),
        command=folder.command(),
    )


def _first_result(folder: StudyFolder, runs: list[Run]) -> dict[str, Any]:
    """Returns the result of the first finished run; {} if all runs that ended have failed."""
    results = (RunFolder(run.folder).result() for run in runs)
    found = next((result for result in results if result), {})
    if not found and not any(RunFolder(run.folder).failure_file.exists() for run in runs):
        raise UserError(
            f"--workdir: no run of this study is finished in {folder.path}; "
            f"start it with: {folder.command()}"
        )
    return found


def _chance(result: dict[str, Any]) -> float | None:
    """Returns the share of the most frequent class in the test set; None if it is not known."""
    counts = np.sum(result.get("test", {}).get("confusion", []), axis=-1)
    return float(np.max(counts) / np.sum(counts)) if np.any(counts) else None


def _check_units(folder: StudyFolder, arms: Iterable[Arm], count: int) -> None:
    """Refuses units of another test set than that of the runs."""
    for run in (run for arm in arms for run in arm.seeds if run.correct is not None):
        if len(run.correct) != count:
            raise UserError(
                f"{folder.units_file}: has the units of {count} examples, and {run.run_dir} was "
                f"tested on {len(run.correct)}; restore the file from a copy"
            )


def _hardware(result: dict[str, Any]) -> str:
    parts = (result.get("cpu", ""), f"{result.get('cores', '')} cores", result.get("device", ""))
    return ", ".join(parts)


def _arm(
    plan: StudyPlan, runs: list[Run], workdir: Path, baselines: dict[str, Factors | None]
) -> Arm:
    name, found = runs[0].arm, _factors(runs, plan)
    baseline = baselines[runs[0].network]
    return Arm(
        name=name,
        overrides=arm_overrides(
            plan, runs[0].network, plan.baseline if name == plan.aa_arm else name
        ),
        network=runs[0].network,
        copy_of=plan.copies.get(name, ""),
        params=found and found.parameters,
        macs=found and found.macs,
        differs=found.differing(baseline) if found and baseline else (),
        step_time_ms=_step_time(runs),
        seeds=tuple(_seed_run(run, workdir) for run in runs),
    )


def _seed_run(run: Run, workdir: Path) -> SeedRun:
    folder = RunFolder(run.folder)
    where = str(run.folder.relative_to(workdir))
    if failure := folder.failure():
        status = "diverged" if failure.get("diverged") else "crashed"
        return SeedRun(run.seed, where, status=status, error=failure["error"])
    result = folder.result()
    if result is None:
        begun = folder.config_file.exists()
        return SeedRun(run.seed, where, status="begun" if begun else "not begun")
    _check_own(run, folder)
    return SeedRun(
        run.seed,
        where,
        metrics_of_run(run, result),
        _history(folder),
        correct_of(StudyFolder(workdir), folder),
        commit=result.get("commit", ""),
        hardware=_hardware(result),
    )


def _check_own(run: Run, folder: RunFolder) -> None:
    """Refuses a run of another arm or seed, such as a folder that was copied.

    Raises:
      UserError: what the study asks of the run would change its config.
    """
    config = folder.config()
    asked = config.copy_and_resolve_references()
    for text in run.overrides:
        # An older study may set a field that has gone since.
        if text.partition("=")[0] in FIELDS:
            apply_override(asked, text)
    if differing := differences(config, asked):
        raise UserError(
            f"{run.folder}: is not the run of arm '{run.arm}' with seed {run.seed} "
            f"({'; '.join(differing)}); restore the folder, or remove it and train it again"
        )


def _history(folder: RunFolder) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in read_metrics(folder.metrics_file):
        if row["name"] in ("loss", "accuracy"):
            curve = curves.setdefault(f"{row['split']}/{row['name']}", [])
            curve.append((row["step"], row["value"]))
    return curves


def _step_time(runs: list[Run]) -> float | None:
    """Returns the median over runs of each run's median time of a training step, in ms.

    From the logged speeds, which exclude compilation, evaluation and checkpoints.
    """
    medians = []
    for run in runs:
        folder = RunFolder(run.folder)
        rows = [r for r in read_metrics(folder.metrics_file) if r["name"] == "images_per_second"]
        if any(row["value"] <= 0 for row in rows):
            raise UserError(
                f"{folder.metrics_file}: an images_per_second is not above 0; restore the file "
                "from a copy"
            )
        if rows:
            batch = folder.config().train.batch_size
            medians.append(np.median([1000 * batch / row["value"] for row in rows]))
    return float(np.median(medians)) if medians else None


def trained_together(runs: list[Run]) -> bool:
    """Whether any two runs trained at the same time, which slows their steps."""
    logged = (read_metrics(RunFolder(run.folder).metrics_file) for run in runs)
    times = [[row["time"] for row in rows] for rows in logged if rows]
    spans = sorted((min(each), max(each)) for each in times)
    return any(start < end for (_, end), (start, _) in pairwise(spans))


def _tuning(folder: StudyFolder, plan: StudyPlan) -> tuple[Tuned, ...]:
    """Returns the tuning of every arm."""
    found = []
    for name, of_arm in folder.tuning().items():
        tried = tuple((tuple(one["overrides"]), tuple(one["values"])) for one in of_arm["tried"])
        found.append(Tuned(name, tuple(of_arm["chosen"]), tried, plan.validated))
    return tuple(found)


def _factors(runs: list[Run], plan: StudyPlan) -> Factors | None:
    """Returns the factors of an arm, from its first finished run; None without one."""
    for run in runs:
        folder = RunFolder(run.folder)
        result: dict[str, Any] | None = folder.result()
        if result:
            classes = len(result["test"]["confusion"])
            # The name in records of older runs.
            shape = result.get("input_shape") or result["image_shape"]
            try:
                return factors_of(folder.config(), tuple(shape), classes, tuple(plan.tune))
            except UserError:  # It is built from a plugin that is not loaded.
                return None
    return None


def metrics_of_run(run: Run, result: dict[str, Any]) -> dict[str, float]:
    """Returns every registered metric of the final test and of the suites measured after it.

    Suites that the study does not ask for count with their default options.
    """
    found = _found(METRICS.values(), result["test"], RunFolder(run.folder).result_file)
    asked = {suite.name: suite for text in run.suites for suite in chosen(text)}
    for name, suite in SUITES.items():
        file = ResultFile.of(
            RunFolder(run.folder), asked.get(name, Asked(name)), result["step"], SPLIT
        )
        if file.is_complete():
            found |= _found(suite.metrics, file.read(), file.path)
    return found


def _found(metrics: Iterable[Metric], measured: dict[str, Any], file: Path) -> dict[str, float]:
    try:
        values = {metric.name: metric.find(measured) for metric in metrics}
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{file}: a metric is not a number ({error}); restore the file from a copy"
        ) from error
    return {name: value for name, value in values.items() if value is not None}
