"""What a number of seeds can resolve, and how many it takes."""

import numpy as np
from scipy import special

from cnn.ablation.analysis.statistics.difference import Difference

MOST_SEEDS = 10_000  # more than this is reported as "no number of seeds"


def noise_floor(accuracy: float, examples: int) -> float:
    """Standard deviation sqrt(p (1 - p) / n) of an accuracy that n test examples estimate."""
    return float(np.sqrt(accuracy * (1 - accuracy) / examples))


def planned(difference: float, seed_sd: float, seeds: int, correlation: float = 0.0) -> Difference:
    """The paired difference of two arms before anything is trained.

    Args:
      difference: the true one that is assumed.
      seed_sd: standard deviation of the metric over the seeds of one arm.
      seeds: of each arm.
      correlation: between the arms' values for the same seed.
    """
    return Difference(difference, (2 * seed_sd**2 * (1 - correlation),), (seeds,))


def power(difference: Difference, alpha: float = 0.05) -> float:
    """Chance that the test at level alpha calls the difference one, if it is the truth.

    Noncentral t, both tails: exact for paired seeds, close otherwise.
    """
    if not difference.spread:
        return float(difference.estimate != 0)
    degrees, error = difference.degrees, difference.standard_error
    shift, critical = abs(difference.estimate) / error, difference.reach(1 - alpha) / error
    upper = 1 - special.nctdtr(degrees, shift, critical)
    return float(upper + special.nctdtr(degrees, shift, -critical))


def equivalence_power(difference: Difference, margin: float, alpha: float = 0.05) -> float:
    """Chance that the two one-sided tests at level alpha show |difference| < margin.

    The sum of the one-sided powers less one, which is a little low for few seeds.
    """
    if not difference.spread:
        return float(abs(difference.estimate) < margin)
    degrees, error = difference.degrees, difference.standard_error
    critical = difference.reach(1 - 2 * alpha) / error
    shifts = (margin + np.array([-1.0, 1.0]) * difference.estimate) / error
    if shifts.min() <= 0:
        return 0.0
    return float(max(0.0, (1 - special.nctdtr(degrees, shifts, critical)).sum() - 1))


def seeds_needed(
    difference: Difference,
    margin: float | None = None,
    alpha: float = 0.05,
    power_wanted: float = 0.8,
    at_least: int = 3,
) -> int | None:
    """The fewest seeds for a decision, if the difference and the variances are the true ones.

    A decision is a test that shows the difference or, with a margin, one that shows equivalence.

    Returns:
      the seeds of each arm, at least `at_least`; None if even 10,000 would not do, which happens
      when the uncertainty comes from the test examples or the difference is zero.
    """

    def enough(seeds: int) -> bool:
        view = difference.at(seeds)
        reached = power(view, alpha)
        if margin is not None:
            reached = max(reached, equivalence_power(view, margin, alpha))
        return reached >= power_wanted

    if enough(at_least):
        return at_least
    low, high = at_least, 2 * at_least
    while not enough(high):
        if high >= MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def resolvable_difference(
    view: Difference, alpha: float = 0.05, power_wanted: float = 0.8
) -> float:
    """The smallest true difference that the seeds of `view` show with the wanted power.

    The estimate of `view` is not used, only its variances and seeds.
    """
    if not view.spread:
        return 0.0
    error, degrees = view.standard_error, view.degrees
    critical = view.reach(1 - alpha) / error
    # nctdtrinc gives the noncentrality with a given lower tail; the far tail is negligible there.
    return float(special.nctdtrinc(degrees, 1 - power_wanted, critical) * error)
