"""Several analyses of one study at a controlled error rate: alpha spending.

Lan and DeMets (1983, Biometrika 70:659): the level alpha is spent as information accrues. Testing
Student's p at the nominal levels computed for normal statistics keeps alpha to good accuracy
(Jennison and Turnbull 2000, section 3.8).

The planned analyses spend 70 % of alpha, mostly late, as O'Brien and Fleming's. The rest is kept
for seeds that are added after the planned end, as a report may advise: every such extension spends
70 % of what is left, so that any number of them keeps alpha.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special

NODES = 121  # of the Gauss-Legendre rule: boundaries to about 1e-5
SPENT = 0.7  # share of what is left of alpha that the planned end, and each extension, spends


@dataclass(frozen=True)
class AnalysisSchedule:
    """When a study is analyzed.

    Attributes:
      seeds: of each arm at each analysis, increasing: the planned ones, then the extensions.
      planned: how many of them were planned from the start; 1 for a study that is analyzed once.
    """

    seeds: tuple[int, ...]
    planned: int = 1

    def cumulative(self, alpha: float) -> list[float]:
        """The two-sided alpha that may be spent up to each analysis."""
        end = self.seeds[self.planned - 1]
        quantile = special.ndtri(SPENT * alpha / 4)
        spent = [4 * special.ndtr(quantile / np.sqrt(n / end)) for n in self.seeds[: self.planned]]
        more = len(self.seeds) - self.planned
        return [*map(float, spent), *(alpha * (1 - (1 - SPENT) ** (i + 2)) for i in range(more))]


@lru_cache(maxsize=4096)
def spending_levels(schedule: AnalysisSchedule, alpha: float = 0.05) -> tuple[float, ...]:
    """The nominal two-sided level of every analysis, which together spend at most alpha."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    levels = []
    places, density, before, used = np.zeros(1), np.ones(1), 0.0, 0.0
    fractions = np.array(schedule.seeds) / schedule.seeds[-1]
    for fraction, total in zip(fractions, schedule.cumulative(alpha), strict=True):
        step = np.sqrt(fraction - before)
        bound = _boundary(places, density, step, total - used, np.sqrt(fraction))
        levels.append(float(2 * special.ndtr(-bound / np.sqrt(fraction))))
        new = nodes * bound
        jumps = (new[:, None] - places[None, :]) / step
        passed = np.exp(-0.5 * jumps**2) / (step * np.sqrt(2 * np.pi))
        places, density = new, weights * bound * (passed @ density)
        before, used = fraction, total
    return tuple(levels)


def _boundary(
    places: np.ndarray, mass: np.ndarray, step: float, crossing: float, scale: float
) -> float:
    """The bound that a Brownian path with mass at places crosses in one step with a probability."""

    def excess(bound: float) -> float:
        outside = special.ndtr((-bound - places) / step) + special.ndtr((places - bound) / step)
        return float(outside @ mass) - crossing

    return optimize.brentq(excess, 0.0, 40 * scale, xtol=1e-12)


def sequential_p(p_value: float, analysis: int, schedule: AnalysisSchedule) -> float:
    """The smallest alpha at which the p of this analysis would decide.

    Valid at whichever of the analyses it is read: P(any of them <= a) <= a without a difference.
    1 for a p that no alpha below 1/2 would let pass.
    """
    if analysis == 0 and schedule.planned == 1:
        return min(p_value / SPENT, 1.0)
    lowest, highest = 1e-9, 0.5
    if spending_levels(schedule, highest)[analysis] < p_value:
        return 1.0
    if spending_levels(schedule, lowest)[analysis] >= p_value:
        return lowest

    def beyond(logarithm: float) -> float:
        level = spending_levels(schedule, float(np.exp(logarithm)))[analysis]
        return float(np.log(level / p_value))

    return float(np.exp(optimize.brentq(beyond, np.log(lowest), np.log(highest), xtol=1e-6)))
