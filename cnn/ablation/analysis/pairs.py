"""A study -> every arm that can be judged, paired with its baseline, as of its analysis."""

import numpy as np

from cnn.ablation.analysis.comparison import Pair, same_seeds, sample_of, variances_of
from cnn.ablation.analysis.study_results import Arm, SeedRun, Study
from cnn.ablation.statistics.verdict import FEWEST_SEEDS, InterimAnalysis
from cnn.config.errors import UserError

Key = tuple[str, str]  # network, arm


def finite(arm: Arm, metric: str, seeds: int | None) -> tuple[SeedRun, ...]:
    """Returns the runs of an arm, up to a number of seeds, that have a finite metric.

    Raises:
      UserError: a finished run lacks the metric.
    """
    finished = [run for run in arm.seeds[:seeds] if run.status == "finished"]
    for run in finished:
        if metric not in run.metrics:
            raise UserError(
                f"metric: {run.run_dir} has no '{metric}'; it has: {', '.join(sorted(run.metrics))}"
            )
    return tuple(run for run in finished if np.isfinite(run.metrics[metric]))


def examples_of(study: Study, seeds: int | None) -> int | None:
    """Returns the size of the test set if the metric is the share of `correct` in every run.

    Raises:
      UserError: runs were tested on different numbers of examples, or their outcomes contradict
        their accuracy.
    """
    metric = study.metric
    runs = [run for arm in study.arms for run in finite(arm, metric, seeds)]
    if metric != "accuracy" or not runs or any(run.correct is None for run in runs):
        return None
    sizes = {len(run.correct): run.run_dir for run in runs}
    if len(sizes) > 1:
        (one, first), (two, second) = list(sizes.items())[:2]
        raise UserError(
            f"arms: {first} was tested on {one} examples and {second} on {two}; "
            "arms must be tested on the same data"
        )
    for run in runs:
        if abs(run.correct.mean() - run.metrics[metric]) > 1e-5:
            raise UserError(
                f"{run.run_dir}: its kept predictions give an accuracy of "
                f"{run.correct.mean():.5f} and its result says {run.metrics[metric]:.5f}; "
                "evaluate or train the run again"
            )
    return next(iter(sizes))


def analyses_of(
    study: Study, keys: list[Key], current: InterimAnalysis | None
) -> list[InterimAnalysis | None]:
    """The analysis of each arm: the one that decided it in a race, else the current one."""
    stopped = {(arm.network, arm.name): arm.stopped for arm in study.arms}
    return [
        current if stopped[key] is None else InterimAnalysis(stopped[key], study.analyses)
        for key in keys
    ]


def pairs_of(study: Study, current: InterimAnalysis, with_outcomes: bool) -> dict[Key, Pair]:
    """Returns every arm that can be judged, with its baseline, as of its analysis."""
    pairs = {}
    for index in sorted({current.index, *(a.stopped for a in study.arms if a.stopped is not None)}):
        seeds = study.analyses.seeds[index]
        for network in study.networks:
            arms = [
                arm
                for arm in study.of_network(network)
                if arm.stopped is None or arm.stopped >= index
            ]
            runs = {arm.name: finite(arm, study.metric, seeds) for arm in arms}
            whole = {
                name: sample_of(found, study.metric, with_outcomes)
                for name, found in runs.items()
                if len(found) == seeds >= FEWEST_SEEDS
            }
            if study.baseline not in whole:
                continue
            variances, baseline = variances_of(whole), whole[study.baseline]
            for arm in arms:
                own = current.index if arm.stopped is None else arm.stopped
                if arm.name in whole and arm.name != study.baseline and own == index:
                    by_seed = study.paired and same_seeds(whole[arm.name], baseline)
                    both = variances[arm.name], variances[study.baseline]
                    pairs[network, arm.name] = Pair(whole[arm.name], baseline, both, by_seed)
    return pairs
