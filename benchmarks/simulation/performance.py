"""Power, coverage and savings of the rule, over many simulated studies."""

import numpy as np
from scipy import special

from benchmarks.simulation.analysis import compare, decide, once, simulated_study
from benchmarks.simulation.outcomes import draw, like_baseline, normal_nodes
from benchmarks.simulation.studies import LOOKS, Study
from cnn.ablation.analysis.race import raced
from cnn.ablation.analysis.study_analysis import kinds
from cnn.ablation.statistics.difference import share_interval
from cnn.ablation.statistics.power import planned, power
from cnn.ablation.statistics.sequential import AnalysisSchedule


def rate(study: Study, studies: int, seed: int) -> float:
    """The share of studies with a false verdict."""
    rng = np.random.default_rng(seed)
    return sum(study(rng) for _ in range(studies)) / studies


def saved(studies: int, seed: int) -> dict[str, float | str | int]:
    """The share of the runs that a race saves, and of the studies with a false direction."""
    rng, schedule = np.random.default_rng(seed), AnalysisSchedule(LOOKS, planned=len(LOOKS))
    truths = (0.0, 0.03, 0.02, -0.02, -0.03)
    arms = [like_baseline(difference=truth) for truth in truths]
    taken, wrong = [], 0
    for _ in range(studies):
        found = raced(simulated_study(draw(rng, arms, LOOKS[-1]), race=True, schedule=schedule))
        taken.append(sum(len(arm.seeds) for arm in found.arms) / (len(arms) * LOOKS[-1]))
        verdicts = kinds(found)
        wrong += any(
            verdicts["", str(i)] == ("worse" if truth > 0 else "better")
            for i, truth in enumerate(truths)
            if truth
        )
    return {
        "setting": "true differences of 3, 2, -2 and -3 pp, analyses at 5, 10 and 20 seeds",
        "saved": 1 - float(np.mean(taken)),
        "wrong": wrong / studies,
        "studies": studies,
    }


def coverage(kind: str, seeds: int, studies: int, seed: int) -> float:
    """How often intervals hold the truth: of one arm's accuracy, of a difference, or of all."""
    rng, inside = np.random.default_rng(seed), 0
    arms = [like_baseline()] * (6 if kind == "all differences" else 2)
    for _ in range(studies):
        if kind.startswith("an accuracy"):
            level = float(kind.rpartition(" ")[2])
            values = special.expit(special.logit(level) + rng.normal(0, 0.3, (1, seeds)))[0]
            truth = float(
                normal_nodes()[1] @ special.expit(special.logit(level) + 0.3 * normal_nodes()[0])
            )
            _, low, high = share_interval(values)
            inside += low <= truth <= high
            continue
        found = compare(draw(rng, arms, seeds))
        level = 0.95 if len(found) == 1 else 1 - once(seeds).level(0.05 / len(found))
        inside += all(low <= 0 <= high for low, high in (d.interval(level) for d in found))
    return inside / studies


def achieved(difference: float, seeds: int, examples: int, studies: int, seed: int) -> dict:
    """The power that a plan promises for a single comparison, and what simulated studies reach."""
    rng = np.random.default_rng(seed)
    arms = [like_baseline(), like_baseline(difference=difference)]
    pilots = [compare(draw(rng, arms, 10, 10_000))[0] for _ in range(40)]
    by_seed = np.mean([np.mean(pilot.seed_variances) for pilot in pilots])
    by_example = np.mean([pilot.example_variance * 10_000 for pilot in pilots])
    view = planned(
        difference, np.sqrt(by_seed), seeds, example_sd=np.sqrt(by_example), examples=examples
    )
    shown = sum(
        decide(compare(draw(rng, arms, seeds, examples)), once(seeds), 1e-6)[0].different
        for _ in range(studies)
    )
    return {
        "difference": difference,
        "seeds": seeds,
        "examples": examples,
        "promised": power(view, once(seeds).level(0.05)),
        "achieved": shown / studies,
    }


def deciding(seeds: int, studies: int, seed: int) -> dict:
    """How often one better arm of six is called better, and by whom.

    The oracle knows the standard deviation of the difference, which here is that of simulated
    studies, and takes it as normal; the difference is the one that it finds in 83 % of studies, at
    the level that Holm's procedure asks of the first of six arms.
    """
    rng = np.random.default_rng(seed)
    equal = [like_baseline()] * 2
    known = np.std([np.subtract(*(t.mean() for t in draw(rng, equal, seeds))) for _ in range(1000)])
    level = once(seeds).level(0.05 / 6)
    bound = -special.ndtri(level / 2)
    difference = float((bound + special.ndtri(0.83)) * known)
    arms = [*[like_baseline()] * 6, like_baseline(difference=difference)]
    counts = np.zeros(2)
    for _ in range(studies):
        found = compare(draw(rng, arms, seeds))
        by_rule = decide(found, once(seeds), margin=1e-6)[-1].kind == "better"
        counts += by_rule, found[-1].estimate > bound * known
    rule, oracle = map(float, counts / studies)
    found = {"seeds": seeds, "difference": difference, "rule": rule, "oracle": oracle}
    return found | {"studies": studies}
