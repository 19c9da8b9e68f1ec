"""Looking before the end without paying for it in false alarms: alpha-spending.

Lan and DeMets (1983, Biometrika 70:659): the level alpha is spent as information accrues. Testing
Student's p at the nominal levels computed for normal statistics keeps alpha to good accuracy
(Jennison and Turnbull 2000, section 3.8).
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import optimize, special

Spending = Literal["obrien_fleming", "pocock"]
NODES = 121  # of the Gauss-Legendre rule: boundaries to about 1e-5


def spent(fraction: float, alpha: float, spending: Spending = "obrien_fleming") -> float:
    """How much of the two-sided alpha may be spent when a fraction of the seeds is in."""
    if spending == "pocock":
        return float(alpha * np.log1p((np.e - 1) * fraction))
    return float(4 * special.ndtr(special.ndtri(alpha / 4) / np.sqrt(fraction)))


@lru_cache(maxsize=4096)
def spending_levels(
    fractions: tuple[float, ...], alpha: float = 0.05, spending: Spending = "obrien_fleming"
) -> tuple[float, ...]:
    """The nominal two-sided level of every planned look, which together spend alpha.

    Args:
      fractions: of the planned seeds at each look, increasing, in (0, 1].
      alpha: of all looks together.
      spending: "obrien_fleming" spends late, "pocock" evenly.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    levels = []
    places, density, before, used = np.zeros(1), np.ones(1), 0.0, 0.0
    for fraction in fractions:
        step = np.sqrt(fraction - before)
        total = spent(fraction, alpha, spending)
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
    """Where a Brownian path with mass at places, one step on, is outside with a probability."""

    def excess(bound: float) -> float:
        outside = special.ndtr((-bound - places) / step) + special.ndtr((places - bound) / step)
        return float(outside @ mass) - crossing

    return optimize.brentq(excess, 0.0, 40 * scale, xtol=1e-12)


def sequential_p(
    p_value: float,
    look: int,
    fractions: tuple[float, ...],
    spending: Spending = "obrien_fleming",
) -> float:
    """The smallest alpha at which the p of this look would stop the study.

    Valid at whichever of the planned looks it is read: P(any of them <= a) <= a without a
    difference. 1 for a p that no alpha below 1/2 would let pass.
    """
    lowest, highest = 1e-9, 0.5
    if spending_levels(fractions, highest, spending)[look] < p_value:
        return 1.0
    if spending_levels(fractions, lowest, spending)[look] >= p_value:
        return lowest

    def beyond(logarithm: float) -> float:
        level = spending_levels(fractions, float(np.exp(logarithm)), spending)[look]
        return float(np.log(level / p_value))

    return float(np.exp(optimize.brentq(beyond, np.log(lowest), np.log(highest), xtol=1e-6)))
