"""The rule that turns differences into verdicts.

Every arm is compared with the baseline; all comparisons of a study form one family, except for the
A/A control, which is a family of its own.

- *different*: Holm's adjusted p-value of "no difference" is at most alpha. The probability of
  calling any arm of the family different that is not is at most alpha.
- *equivalent*: Holm's adjusted p-value of the two one-sided tests is at most alpha. The probability
  of calling any arm of the family equivalent that differs by the margin or more is at most alpha.
- equivalent -> "equivalent"; else different -> "better" or "worse"; else -> "undecided". An
  arm that is both is "equivalent": the study declared such a difference too small to matter.

An arm is judged only if every planned seed has a finite metric, and so has every seed of the
baseline:

- A diverged seed makes its arm "unstable"; if a seed of the baseline diverged, every arm is
  "unranked". Otherwise verdicts would suffer from survivorship bias.
- A crashed seed (out of memory, say) leaves its arm "unranked" until it has been trained.
- Until all seeds of the planned analysis have ended, every arm is "interim".
- Fewer than 3 seeds of either arm are "unranked". Two values give no usable variance.

Arms that cannot be judged stay in the family, so that a verdict does not depend on failures.

With several analyses, each p-value is replaced by the smallest alpha whose spending boundary it
crosses, so both statements hold over all analyses together. Arms that were decided at an
earlier analysis and got no further seeds keep the p-value of that analysis in the family (Ye, Li,
Liu and Yao 2013, Statistics in Medicine 32:1112: Holm's procedure over group-sequential tests).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import optimize, special

from cnn.ablation.statistics.difference import Difference
from cnn.ablation.statistics.power import examples_needed, seeds_needed
from cnn.ablation.statistics.sequential import (
    AnalysisSchedule,
    sequential_p,
    spending_levels,
)
from cnn.ablation.statistics.significance import holm, holm_levels

FEWEST_SEEDS = 3
MOST_TIMES_SEEDS = 4  # so many times the seeds are tried with a larger test set
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
    """The verdict on one arm.

    Attributes:
      kind: better, worse, equivalent, undecided; or unstable, interim, unranked: not judged.
      difference: that it is based on; None if there is none.
      p: two-sided, of this arm alone.
      adjusted_p: over the family and the analyses; different if at most alpha.
      equivalence_p: of a difference of the margin or more, adjusted likewise.
      different: whether `adjusted_p` is at most alpha, whatever the kind.
      interval: 95 % interval of this arm alone.
      family_interval: simultaneous 95 % interval over all arms and analyses (Bonferroni).
      corrected: the estimate corrected for selection by significance; None if not different.
      seeds_wanted: if undecided, seeds of each arm that would decide it (different or equivalent)
        with the planned power, if the estimates are the true values; None if no number would.
      examples_wanted: if undecided and limited by the test set, test examples (or units) that would
        decide it with `seeds_wanted` seeds, of up to `MOST_TIMES_SEEDS` as many as there are.
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
      power_wanted: for `seeds_wanted` and `examples_wanted`.
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
    """The kinds and p-values of a family, without intervals and power analysis; see `verdicts`."""
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
    """Adds intervals, the estimate corrected for selection, and what would decide the rest."""
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
    for more in (seeds, 2 * seeds, MOST_TIMES_SEEDS * seeds):
        if (larger := examples_needed(difference.at(more), *plan)) is not None:
            return replace(found, seeds_wanted=more, examples_wanted=larger)
    return found


def unselected(difference: Difference, level: float) -> float:
    """The effect estimate corrected for having been selected by significance (winner's curse).

    The maximum of the likelihood of the estimate conditional on its significance (Zhong and
    Prentice 2008, Biostatistics 9:621), assuming normal errors.

    Args:
      difference: a significant one.
      level: of significance, two-sided.
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
