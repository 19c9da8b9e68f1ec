"""A race: arms that an interim analysis decides get no further seeds.

Every p-value is that of a group-sequential test, and Holm's procedure keeps the p-value at which
an arm was decided, so the family-wise error rate is held at 5 % whichever arms stop (see
`verdict.py`).
"""

from dataclasses import replace

from cnn.ablation.analysis.pairs import Key, analyses_of, examples_of, finite, pairs_of
from cnn.ablation.analysis.study_results import Study
from cnn.ablation.statistics.verdict import InterimAnalysis, judge


def raced(study: Study) -> Study:
    """Returns a study without the seeds that arms skip because they were decided earlier.

    At every planned analysis whose seeds are in, the arms that are better, worse or equivalent
    stop, and so do arms with a diverged seed, which can get no verdict in any case. When all
    have stopped, so do the baselines and their A/A controls.
    """
    rivals = [a for a in study.arms if a.name not in (study.baseline, study.aa_arm)]
    stopped: dict[Key, int] = {}
    for index, seeds in enumerate(study.analyses.seeds):
        trial = _stop(study, stopped, seeds)
        if trial.unfinished:
            break
        decided = _decided(trial, InterimAnalysis(index, study.analyses))
        stopped |= {key: index for key in decided if key not in stopped}
        if all((arm.network, arm.name) in stopped for arm in rivals):
            return _stop(study, stopped, seeds)
    return _stop(study, stopped, None)


def _stop(study: Study, stopped: dict[Key, int], seeds: int | None) -> Study:
    """Returns the study with the seeds of stopped arms, and those of the others up to a number."""
    arms = []
    for arm in study.arms:
        index = stopped.get((arm.network, arm.name))
        most = seeds if index is None else study.analyses.seeds[index]
        arms.append(replace(arm, seeds=arm.seeds[:most], stopped=index))
    return replace(study, arms=tuple(arms))


def _decided(study: Study, current: InterimAnalysis) -> list[Key]:
    """Returns the arms that need no further seeds after an analysis."""
    with_outcomes = examples_of(study, None) is not None
    by_example = with_outcomes and study.population == "seeds and examples"
    pairs = pairs_of(study, current, with_outcomes)
    keys = [
        (arm.network, arm.name)
        for arm in study.arms
        if arm.name not in (study.baseline, study.aa_arm)
    ]
    found = judge(
        [pairs[k].difference(by_example, study.units) if k in pairs else None for k in keys],
        study.margin,
        higher_is_better=study.higher_is_better,
        analysis=analyses_of(study, keys, current),
    )
    decided = [
        key
        for key, verdict in zip(keys, found, strict=True)
        if verdict.judged and verdict.kind != "undecided"
    ]
    lost = [
        (arm.network, arm.name)
        for arm in study.arms
        if len(finite(arm, study.metric, None)) < len(arm.finished)
        or any(run.status == "diverged" for run in arm.seeds)
    ]
    return [key for key in keys if key in decided or key in lost]
