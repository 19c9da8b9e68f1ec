"""Which runs of a study are due: tuning runs first; in a race, those up to the next analysis."""

from itertools import zip_longest

from cnn.ablation.analysis.collect import collect
from cnn.ablation.analysis.race import raced
from cnn.ablation.execution.suites_of_run import missing
from cnn.ablation.planning.runs import Run, arms_of, tuning_runs
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.training.run_folder import RunFolder


def is_open(run: Run) -> bool:
    """Whether a run has neither failed nor been trained and evaluated completely."""
    if RunFolder(run.folder).failure_file.exists():
        return False
    return not RunFolder(run.folder).result_file.exists() or bool(missing(run))


def due_runs(folder: StudyFolder) -> list[Run]:
    """Returns the runs that can be trained now, seed by seed.

    So all arms of an unfinished study have about as many seeds. Once they have ended, further runs
    that depend on their results may be due.
    """
    plan = folder.plan()
    if plan.tune and not plan.tuned:
        settings = tuning_runs(plan, folder.path).values()
        return seed_by_seed([runs for tried in settings for runs in tried])
    arms = list(arms_of(plan, folder.path).values())
    return seed_by_seed(_next_of_race(folder, plan, arms) if plan.race else arms)


def has_phases(plan: StudyPlan) -> bool:
    """Whether some runs become due only after others have ended."""
    return bool(plan.race or plan.tune)


def seed_by_seed(arms: list[list[Run]]) -> list[Run]:
    """Orders runs seed by seed."""
    return [run for runs in zip_longest(*arms) for run in runs if run is not None]


def _next_of_race(folder: StudyFolder, plan: StudyPlan, arms: list[list[Run]]) -> list[list[Run]]:
    """Returns the runs up to the next analysis, without arms that are decided."""
    for seeds in folder.schedule().seeds:
        if any(is_open(run) for runs in arms for run in runs[:seeds]):
            return [runs[:seeds] for runs in arms]
        kept = {(arm.network, arm.name): len(arm.seeds) for arm in raced(collect(folder)).arms}
        arms = [runs[: kept[runs[0].network, runs[0].arm]] for runs in arms]
    return arms
