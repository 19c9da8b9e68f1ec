"""Studies with known truths; each returns whether it has a false verdict."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import optimize

from benchmarks.simulation.analysis import (
    LEVELS,
    MARGIN,
    compare,
    decide,
    false,
    once,
    reported,
)
from benchmarks.simulation.outcomes import (
    EXAMPLES,
    Arm,
    draw,
    fitted,
    like_baseline,
    normal,
)
from cnn.ablation.statistics.difference import (
    seed_variances,
    welch,
)
from cnn.ablation.statistics.power import seeds_needed
from cnn.ablation.statistics.sequential import AnalysisSchedule
from cnn.ablation.statistics.verdict import InterimAnalysis

# Simulates one study; whether it has a false verdict.
Study = Callable[[np.random.Generator], bool]
LOOKS = (5, 10, 20)


def equal_arms(seeds: int, others: int = 6, **how) -> Study:
    """Normal seeds, all arms alike."""
    arms = [like_baseline()] * (others + 1)
    return lambda rng: false(decide(compare(draw(rng, arms, seeds), **how), once(seeds)))


def one_arm(seeds: int, effects: str, spread: float, *, pair: bool = False) -> Study:
    """One arm whose seeds vary otherwise than those of the baseline and of an A/A control."""
    arms = [like_baseline(), like_baseline(), like_baseline(effects, spread)]
    return lambda rng: false(decide(compare(draw(rng, arms, seeds), pair=pair)[1:], once(seeds)))


def on_this_test_set(seeds: int, effects: str, spread: float) -> Study:
    """The same on one test set, with an A/A control that is no part of the family."""
    unit = {"normal": lambda rng, size: rng.normal(0, 1, size)}.get(
        effects, lambda rng, size: 1 - rng.exponential(1, size)
    )

    def study(rng: np.random.Generator) -> bool:
        # A seed moves the accuracy by 0.35 pp, as in results/pooling.
        values = [rng.normal(0.867, 0.0035, seeds) for _ in range(2)]
        values.append(0.867 + 0.0035 * spread * unit(rng, seeds))
        shared = seed_variances(values)
        found = welch(values[-1], values[0], (shared[-1], shared[0]))
        return false(decide([found], once(seeds)))

    return study


def crossed_factors(seeds: int) -> Study:
    """Two factors with two levels each, which do nothing: arms, main effects and interaction."""
    arms = [like_baseline()] * 4
    factors = tuple(zip(("first", "second"), LEVELS, strict=True))
    return lambda rng: bool(reported(draw(rng, arms, seeds), factors=factors) & {"better", "worse"})


def race(looks: tuple[int, ...] = LOOKS) -> Study:
    """Four arms like the baseline in a race."""
    arms, schedule = [like_baseline()] * 5, AnalysisSchedule(looks, planned=len(looks))
    return lambda rng: bool(
        reported(draw(rng, arms, looks[-1]), race=True, schedule=schedule) & {"better", "worse"}
    )


def read_early(seeds: int) -> Study:
    """A report is read whenever a seed of all arms has ended, from the third on."""
    arms = [like_baseline()] * 3

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, seeds)
        return any(
            reported(tables, lambda arm, seed, n=n: "finished" if seed < n else "begun")
            & {"better", "worse"}
            for n in range(3, seeds + 1)
        )

    return study


def seeds_added(seeds: int, most: int) -> Study:
    """As many seeds are added as the report advises, up to a limit, and once more."""
    arms = [like_baseline()] * 3

    def study(rng: np.random.Generator) -> bool:
        tables, analyses = draw(rng, arms, most), [seeds]
        while True:
            analysis = InterimAnalysis(len(analyses) - 1, AnalysisSchedule(tuple(analyses)))
            now = [table[: analyses[-1]] for table in tables]
            found = decide(compare(now), analysis)
            if false(found):
                return True
            if analyses[-1] == most or len(analyses) == 3:
                return False
            open_ = [v.difference for v in found if v.kind == "undecided"]
            level = analysis.level(0.05 / len(found))
            wanted = [seeds_needed(d, MARGIN, level, at_least=analyses[-1] + 1) for d in open_]
            if not any(wanted):
                return False
            analyses.append(min(most, max(filter(None, wanted))))

    return study


def planned_analyses(looks: tuple[int, ...]) -> Study:
    """Several planned analyses, the study ending at the first verdict."""
    arms = [like_baseline()] * 3

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, looks[-1])
        schedule = AnalysisSchedule(looks, planned=len(looks))
        return any(
            false(decide(compare([t[:n] for t in tables]), InterimAnalysis(i, schedule)))
            for i, n in enumerate(looks)
        )

    return study


def diverging(seeds: int, chance: float) -> Study:
    """Each seed of one arm diverges with a chance; those that do not are like the baseline's."""
    arms = [like_baseline()] * 3

    def study(rng: np.random.Generator) -> bool:
        tables, lost = draw(rng, arms, seeds), rng.random(seeds) < chance
        found = reported(tables, lambda a, s: "diverged" if a == 2 and lost[s] else "finished")
        return bool(found & {"better", "worse"})

    return study


def worst_lost(seeds: int, share: float) -> Study:
    """A share of the seeds of one arm is lost, the worst of them."""
    arms = [like_baseline()] * 3

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, seeds)
        lost = set(np.argsort(tables[2].mean(axis=1))[: round(share * seeds)])
        found = reported(tables, lambda a, s: "diverged" if a == 2 and s in lost else "finished")
        return "better" in found

    return study


def clustered_examples(seeds: int, count: int) -> Study:
    """Examples of a few units, to each of which an arm does something of its own."""
    arms, units = [like_baseline()] * 2, np.arange(EXAMPLES) % count

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, seeds, units=units, unit_sd=0.12)
        return false(decide(compare(tables, units=units), once(seeds)))

    return study


def ties(seeds: int, examples: int) -> Study:
    """An accuracy of 0.99 on few examples, one arm worse by exactly the margin."""
    model = fitted()
    mean = optimize.brentq(lambda m: replace(model, mean=m).accuracy() - 0.99, 0, 40)
    worse = replace(model, mean=mean).gain(-MARGIN)
    arms = [Arm(0.0, normal()), Arm(worse, normal())]

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, seeds, examples, mean=mean)
        return false(decide(compare(tables), once(seeds)), ("equivalent",))

    return study


def at_the_margin(seeds: int, examples: int) -> Study:
    """Arms that differ by exactly the margin, up or down."""
    arms = [like_baseline(), *(like_baseline(difference=s * MARGIN) for s in (1, -1))]

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, seeds, examples)
        return false(decide(compare(tables), once(seeds)), ("equivalent",))

    return study
