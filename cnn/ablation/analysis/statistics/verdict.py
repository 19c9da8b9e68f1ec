"""The rule that turns differences into words.

Every arm is compared with the baseline; all comparisons of a study are one family.

- *different*: Holm's adjusted p of "no difference" is at most alpha. An arm that is not different
  in truth is called so, anywhere in the family, with probability at most alpha.
- *equivalent*: Holm's adjusted p of the two one-sided tests is at most alpha. An arm that differs
  by the margin or more is called equivalent, anywhere in the family, with probability at most
  alpha.
- equivalent -> "equivalent"; else different -> "better" or "worse"; else -> "undecided". What is
  both is "equivalent": the study declared such a difference too small to matter.
- Fewer than 3 seeds of either arm: "unranked". Two values give no usable spread. Arms that cannot
  be judged stay in the family, so that a verdict does not depend on who failed.

With planned looks, each p is replaced by the smallest alpha whose spending boundary it passes, so
both statements hold over all looks together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cnn.ablation.analysis.statistics.difference import Difference
from cnn.ablation.analysis.statistics.power import seeds_needed
from cnn.ablation.analysis.statistics.sequential import Spending, sequential_p, spending_levels
from cnn.ablation.analysis.statistics.significance import holm, holm_levels

FEWEST_SEEDS = 3
Kind = Literal["better", "worse", "equivalent", "undecided", "unranked"]


@dataclass(frozen=True)
class Look:
    """One of several planned looks at a study.

    Attributes:
      index: of this look.
      fractions: of the planned seeds at each look, increasing, the last one 1.
      spending: of alpha over the looks.
    """

    index: int
    fractions: tuple[float, ...]
    spending: Spending = "obrien_fleming"


@dataclass(frozen=True)
class Verdict:
    """What can be said of one arm.

    Attributes:
      kind: better, worse, equivalent, undecided or unranked.
      difference: the estimate behind it; None if there is none.
      p: two-sided, of this arm alone.
      adjusted_p: over the family and the looks; different if at most alpha.
      equivalence_p: of a difference of the margin or more, adjusted likewise.
      different: whether `adjusted_p` is at most alpha, whatever the kind.
      interval: of this arm alone, at level 1 - alpha.
      family_interval: at the level at which Holm's procedure judged the arm: leaves zero out
        exactly when `different`.
      seeds_wanted: undecided: seeds of each arm that would decide it with the planned power, if
        what was seen is the truth; None if no number would.
    """

    kind: Kind
    difference: Difference | None = None
    p: float = 1.0
    adjusted_p: float = 1.0
    equivalence_p: float = 1.0
    different: bool = False
    interval: tuple[float, float] = (float("-inf"), float("inf"))
    family_interval: tuple[float, float] = (float("-inf"), float("inf"))
    seeds_wanted: int | None = None


def verdict(difference: Difference, margin: float, **rule) -> Verdict:
    """The verdict on a single comparison; see `verdicts`."""
    return verdicts([difference], margin, **rule)[0]


def verdicts(
    differences: Sequence[Difference | None],
    margin: float,
    *,
    alpha: float = 0.05,
    higher_is_better: bool = True,
    look: Look | None = None,
    power_wanted: float = 0.8,
) -> list[Verdict]:
    """The verdicts on a family of comparisons with a baseline; the rule is the module's docstring.

    Args:
      differences: arm minus baseline; None for an arm without enough runs.
      margin: differences smaller than this do not matter; > 0.
      alpha: of the family.
      higher_is_better: direction of the metric.
      look: which of the planned looks this is; None if the study is judged once.
      power_wanted: of the study that `seeds_wanted` plans.
    """
    judged = [d if d is not None and min(d.seeds) >= FEWEST_SEEDS else None for d in differences]
    p_values = np.array([1.0 if d is None else d.p_value() for d in judged])
    overall = np.array([_over_looks(p, look) for p in p_values])
    equivalence = np.array(
        [1.0 if d is None else _over_looks(2 * d.equivalence_p(margin), look) / 2 for d in judged]
    )
    adjusted, equivalence_adjusted = holm(overall), holm(equivalence)
    levels = holm_levels(overall, alpha)
    strictest = np.minimum(levels, holm_levels(equivalence, alpha))
    results = []
    for i, difference in enumerate(judged):
        if difference is None:
            results.append(Verdict("unranked", differences[i]))
            continue
        found = Verdict(
            _kind(difference, adjusted[i], equivalence_adjusted[i], alpha, higher_is_better),
            difference,
            p=float(p_values[i]),
            adjusted_p=float(adjusted[i]),
            equivalence_p=float(equivalence_adjusted[i]),
            different=bool(adjusted[i] <= alpha),
            interval=difference.interval(1 - _nominal(alpha, look)),
            family_interval=difference.interval(1 - _nominal(float(levels[i]), look)),
        )
        results.append(_with_plan(found, margin, float(strictest[i]), power_wanted))
    return results


def _with_plan(found: Verdict, margin: float, alpha: float, power_wanted: float) -> Verdict:
    """Adds the seeds that would decide an undecided comparison."""
    if found.kind != "undecided":
        return found
    more = min(found.difference.seeds) + 1
    wanted = seeds_needed(found.difference, margin, alpha, power_wanted, more)
    return replace(found, seeds_wanted=wanted)


def _kind(
    difference: Difference, adjusted: float, equivalence: float, alpha: float, higher: bool
) -> Kind:
    if equivalence <= alpha:
        return "equivalent"
    if adjusted > alpha:
        return "undecided"
    return "better" if (difference.estimate > 0) == higher else "worse"


def _over_looks(p_value: float, look: Look | None) -> float:
    """The p over all looks; anything above 1/2 becomes 1 or more."""
    if look is None:
        return p_value
    if p_value > 0.5:
        return 2.0
    return sequential_p(p_value, look.index, look.fractions, look.spending)


def _nominal(alpha: float, look: Look | None) -> float:
    if look is None:
        return alpha
    return spending_levels(look.fractions, alpha, look.spending)[look.index]
