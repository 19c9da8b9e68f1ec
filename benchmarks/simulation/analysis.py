"""Simulated outcomes analyzed by the rule of the studies."""

from collections.abc import Callable

import numpy as np

from cnn.ablation.analysis.study_analysis import kinds
from cnn.ablation.analysis.study_results import Arm as StudyArm
from cnn.ablation.analysis.study_results import SeedRun, Status
from cnn.ablation.analysis.study_results import Study as StudyOf
from cnn.ablation.planning.study_plan import cell_name
from cnn.ablation.statistics.difference import (
    Difference,
    crossed,
    seed_floor,
    seed_variances,
)
from cnn.ablation.statistics.sequential import AnalysisSchedule
from cnn.ablation.statistics.verdict import InterimAnalysis, Verdict, judge

MARGIN = 0.005
# Two factors with two levels each.
LEVELS = ("a", "A"), ("b", "B")


def compare(
    tables: list[np.ndarray], *, pair: bool = False, units: np.ndarray | None = None
) -> list[Difference]:
    """Each arm against the first, as `study_analysis` compares them."""
    values = [table.mean(axis=1) for table in tables]
    shared = seed_variances(values, [seed_floor(table) for table in tables])
    return [
        crossed(table, tables[0], pair_seeds=pair, variances=(shared[i], shared[0]), units=units)
        for i, table in enumerate(tables)
        if i
    ]


def once(seeds: int) -> InterimAnalysis:
    """The only analysis of a study."""
    return InterimAnalysis(0, AnalysisSchedule((seeds,)))


def decide(
    differences: list[Difference | None], analysis: InterimAnalysis, margin: float = MARGIN
) -> list[Verdict]:
    """The verdicts on a family."""
    return judge(differences, margin, analysis=analysis)


def false(found: list[Verdict], kinds: tuple[str, ...] = ("better", "worse")) -> bool:
    """Whether any of the arms, which all are like the baseline, is called otherwise."""
    return any(
        verdict.kind in kinds or (verdict.different and "worse" in kinds) for verdict in found
    )


def reported(
    tables: list[np.ndarray], status: Callable[[int, int], Status] = lambda *_: "finished", **rule
) -> set[str]:
    """What a report calls the arms.

    Args:
      tables: as `draw` returns them.
      status: (arm, seed) -> what became of the run; one that is not finished has no outcomes.
      rule: further fields of the study.
    """
    return set(kinds(simulated_study(tables, status, **rule)).values())


def simulated_study(
    tables: list[np.ndarray], status: Callable[[int, int], Status] = lambda *_: "finished", **rule
) -> StudyOf:
    """A study of outcomes; see `reported`."""

    def run(arm: int, seed: int) -> SeedRun:
        outcomes, ending = tables[arm][seed], status(arm, seed)
        place = f"{arm}/{seed}"
        if ending != "finished":
            return SeedRun(seed, place, status=ending)
        return SeedRun(seed, place, {"accuracy": float(outcomes.mean())}, correct=outcomes)

    names = [str(arm) for arm in range(len(tables))]
    if "factors" in rule:
        names = [cell_name(one, two) for one in LEVELS[0] for two in LEVELS[1]]
    arms = tuple(
        StudyArm(name, seeds=tuple(run(arm, seed) for seed in range(len(tables[arm]))))
        for arm, name in enumerate(names)
    )
    return StudyOf("simulated", "", arms, names[0], MARGIN, **rule)
