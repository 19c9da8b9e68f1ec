"""The rule that turns differences into words.

Every arm is compared with the baseline; all comparisons of a study are one family, but for the A/A
control, which is a family of its own.

- *different*: Holm's adjusted p of "no difference" is at most alpha. An arm that is not different
  in truth is called so, anywhere in the family, with probability at most alpha.
- *equivalent*: Holm's adjusted p of the two one-sided tests is at most alpha. An arm that differs
  by the margin or more is called equivalent, anywhere in the family, with probability at most
  alpha.
- equivalent -> "equivalent"; else different -> "better" or "worse"; else -> "undecided". What is
  both is "equivalent": the study declared such a difference too small to matter.

An arm is judged only if every planned seed has a finite metric, and so has every seed of the
baseline:

- A seed that diverged makes its arm "unstable", and a baseline of which one diverged leaves every
  arm unranked: survivors flatter.
- A seed that crashed, for want of memory say, leaves its arm "unranked" until it is trained.
- Until all seeds of the planned analysis have ended, every arm is "interim".
- Fewer than 3 seeds of either arm are "unranked". Two values give no usable variance.

Arms that cannot be judged stay in the family, so that a verdict does not depend on who failed.

With several analyses, each p is replaced by the smallest alpha whose spending boundary it passes,
so both statements hold over all of them together. Arms that were decided at an earlier analysis
and took no further seeds keep the p of that analysis in the family (Ye, Li, Liu and Yao 2013,
Statistics in Medicine 32:1112: Holm's procedure over group-sequential tests).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import optimize, special

from cnn.ablation.analysis.statistics.difference import Difference
from cnn.ablation.analysis.statistics.power import examples_needed, seeds_needed
from cnn.ablation.analysis.statistics.sequential import (
    AnalysisSchedule,
    sequential_p,
    spending_levels,
)
from cnn.ablation.analysis.statistics.significance import holm, holm_levels

FEWEST_SEEDS = 3
JUDGED = ("better", "worse", "equivalent", "undecided")
VerdictKind = Literal[
    "better", "worse", "equivalent", "undecided", "unstable", "interim", "unranked"
]
EVERYTHING = (float("-inf"), float("inf"))


@dataclass(frozen=True)
class InterimAnalysis:
    """The analysis of a study that is due, or was the last.

    Attributes:
      index: of this analysis within the schedule.
      schedule: of all analyses up to now, and of those that are still planned.
    """

    index: int
    schedule: AnalysisSchedule

    @property
    def seeds(self) -> int:
        """How many seeds of each arm it is about."""
        return self.schedule.seeds[self.index]

    def p(self, p_value: float) -> float:
        """The p over all analyses."""
        return sequential_p(p_value, self.index, self.schedule)

    def level(self, alpha: float) -> float:
        """The nominal level of this analysis."""
        return spending_levels(self.schedule, alpha)[self.index]


@dataclass(frozen=True)
class Verdict:
    """What can be said of one arm.

    Attributes:
      kind: better, worse, equivalent, undecided; or unstable, interim, unranked: not judged.
      difference: the estimate behind it; None if there is none.
      p: two-sided, of this arm alone.
      adjusted_p: over the family and the analyses; different if at most alpha.
      equivalence_p: of a difference of the margin or more, adjusted likewise.
      different: whether `adjusted_p` is at most alpha, whatever the kind.
      interval: 95 % interval of this arm alone.
      family_interval: at the level at which the intervals of all arms hold together with 95 %,
        over all analyses (Bonferroni).
      corrected: the estimate with the exaggeration taken out that comes of having been called
        different; None if it was not.
      seeds_wanted: undecided: seeds of each arm that would decide it, either way, with the planned
        power, if what was seen is the truth; None if no number would.
      examples_wanted: undecided, and no number of seeds would do on this test set: test examples
        (or units) that would, with `seeds_wanted` seeds, up to four times as many as there are.
    """

    kind: VerdictKind
    difference: Difference | None = None
    p: float = 1.0
    adjusted_p: float = 1.0
    equivalence_p: float = 1.0
    different: bool = False
    interval: tuple[float, float] = EVERYTHING
    family_interval: tuple[float, float] = EVERYTHING
    corrected: float | None = None
    seeds_wanted: int | None = None
    examples_wanted: int | None = None

    @property
    def judged(self) -> bool:
        """Whether there is a verdict."""
        return self.kind in JUDGED


# One for all differences, or one for each.
Analyses = InterimAnalysis | Sequence[InterimAnalysis | None] | None


def verdict(difference: Difference, margin: float, **rule) -> Verdict:
    """The verdict on a single comparison; see `verdicts`."""
    return verdicts([difference], margin, **rule)[0]


def verdicts(
    differences: Sequence[Difference | None],
    margin: float,
    *,
    alpha: float = 0.05,
    higher_is_better: bool = True,
    analysis: Analyses = None,
    power_wanted: float = 0.8,
) -> list[Verdict]:
    """The verdicts on a family of comparisons with a baseline; the rule is the module's docstring.

    Args:
      differences: arm minus baseline; None for an arm that cannot be judged.
      margin: differences smaller than this do not matter; > 0.
      alpha: of the family.
      higher_is_better: direction of the metric.
      analysis: which analysis this is, or that of each difference; None if there is one only, which
        spends all of alpha.
      power_wanted: of the study that `seeds_wanted` plans.
    """
    found = judge(
        differences, margin, alpha=alpha, higher_is_better=higher_is_better, analysis=analysis
    )
    analyses = _each(analysis, len(found))
    family = np.array(
        [
            1.0 if v.difference is None else _over(v.p, at)
            for v, at in zip(found, analyses, strict=True)
        ]
    )
    levels = holm_levels(family, alpha)
    return [
        _in_full(v, margin, alpha, float(level), len(found), at, power_wanted)
        for v, level, at in zip(found, levels, analyses, strict=True)
    ]


def judge(
    differences: Sequence[Difference | None],
    margin: float,
    *,
    alpha: float = 0.05,
    higher_is_better: bool = True,
    analysis: Analyses = None,
) -> list[Verdict]:
    """The kinds and p of a family alone, without intervals and advice; see `verdicts`."""
    judged = [d if d is not None and min(d.seeds) >= FEWEST_SEEDS else None for d in differences]
    analyses = _each(analysis, len(judged))
    p_values = [1.0 if d is None else d.p_value() for d in judged]
    adjusted = holm(np.array([_over(p, at) for p, at in zip(p_values, analyses, strict=True)]))
    equivalence = holm(
        np.array(
            [
                1.0 if d is None else _over(2 * d.equivalence_p(margin), at) / 2
                for d, at in zip(judged, analyses, strict=True)
            ]
        )
    )
    return [
        Verdict("unranked", differences[i])
        if difference is None
        else Verdict(
            _kind(difference, adjusted[i], equivalence[i], alpha, higher_is_better),
            difference,
            p=float(p_values[i]),
            adjusted_p=float(adjusted[i]),
            equivalence_p=float(equivalence[i]),
            different=bool(adjusted[i] <= alpha),
        )
        for i, difference in enumerate(judged)
    ]


def _in_full(
    found: Verdict,
    margin: float,
    alpha: float,
    holm_level: float,
    family: int,
    analysis: InterimAnalysis | None,
    power_wanted: float,
) -> Verdict:
    """Adds intervals, the correction of what was selected, and what would decide the rest."""
    if not found.judged:
        return found
    difference, level = found.difference, _nominal(holm_level, analysis)
    found = replace(
        found,
        interval=difference.interval(1 - alpha),
        family_interval=difference.interval(1 - _nominal(alpha / family, analysis)),
        corrected=unselected(difference, level) if found.different else None,
    )
    if found.kind != "undecided" or not difference.varies:
        return found
    plan = margin, level, power_wanted
    seeds = min(difference.seeds)
    wanted = seeds_needed(difference, *plan, seeds + 1)
    if wanted is not None or not difference.examples:
        return replace(found, seeds_wanted=wanted)
    for more in (seeds, 2 * seeds, 4 * seeds):
        if (larger := examples_needed(difference.at(more), *plan)) is not None:
            return replace(found, seeds_wanted=more, examples_wanted=larger)
    return found


def unselected(difference: Difference, level: float) -> float:
    """The effect that, seen only where it is significant, would on average look like this one.

    An estimate that is reported because it passed a test is too large on average. The likelihood of
    the estimate given that it passed corrects for that (Zhong and Prentice 2008, Biostatistics
    9:621); errors are taken as normal.

    Args:
      difference: that was significant.
      level: at which it was, two-sided.
    """
    seen = abs(difference.estimate) / difference.standard_error
    bound = difference.reach(1 - level) / difference.standard_error

    def excess(effect: float) -> float:
        up, down = bound - effect, -bound - effect
        density = np.exp(-0.5 * up**2) - np.exp(-0.5 * down**2)
        passed = special.ndtr(-up) + special.ndtr(down)
        return float(effect + density / np.sqrt(2 * np.pi) / passed - seen)

    effect = optimize.brentq(excess, 0.0, seen) if excess(0.0) < 0 else 0.0
    return float(np.sign(difference.estimate) * effect * difference.standard_error)


def _kind(
    difference: Difference, adjusted: float, equivalence: float, alpha: float, higher: bool
) -> VerdictKind:
    if equivalence <= alpha:
        return "equivalent"
    if adjusted > alpha:
        return "undecided"
    return "better" if (difference.estimate > 0) == higher else "worse"


def _each(analysis: Analyses, number: int) -> Sequence[InterimAnalysis | None]:
    return (
        [analysis] * number
        if analysis is None or isinstance(analysis, InterimAnalysis)
        else analysis
    )


def _over(p_value: float, analysis: InterimAnalysis | None) -> float:
    return p_value if analysis is None else analysis.p(p_value)


def _nominal(alpha: float, analysis: InterimAnalysis | None) -> float:
    return alpha if analysis is None else analysis.level(alpha)
