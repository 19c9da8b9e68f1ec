"""Power analysis: what seeds and test examples can detect, and how many of them are needed."""

from collections.abc import Callable

import numpy as np
from scipy import special

from cnn.ablation.statistics.difference import PLUS, Difference

MOST_SEEDS = 10_000  # more than this is reported as "no number of seeds"
MOST_EXAMPLES = 100_000_000


def noise_floor(accuracy: float, examples: int) -> float:
    """Standard deviation sqrt(p (1 - p) / n) of an accuracy that n test examples estimate."""
    return float(np.sqrt(accuracy * (1 - accuracy) / examples))


def planned(
    difference: float,
    seed_sd: float,
    seeds: int,
    *,
    arms: int = 2,
    example_sd: float = 0.0,
    examples: int = 0,
) -> Difference:
    """The difference of two arms before anything is trained, its seeds not paired.

    Args:
      difference: the true one that is assumed.
      seed_sd: standard deviation of the metric over the seeds of one arm.
      seeds: of each arm.
      arms: whose variances are pooled; see `seed_variances`.
      example_sd: standard deviation, over test examples, of the difference of the two arms' mean
        outcomes on an example.
      examples: of the test set; 0: the difference is about one test set only.
    """
    by_example = (example_sd**2 / examples + PLUS / examples**2) if examples else 0.0
    return Difference(
        difference, (seed_sd**2,) * 2, (seeds,) * 2, (arms,) * 2, by_example, examples
    )


def power(difference: Difference, alpha: float = 0.05) -> float:
    """Power of the test at level alpha, if the difference is the true one.

    Noncentral t, both tails: exact for paired seeds, close otherwise.
    """
    if not difference.varies:
        return float(difference.estimate != 0)
    degrees, error = difference.degrees, difference.standard_error
    shift, critical = abs(difference.estimate) / error, difference.reach(1 - alpha) / error
    upper = 1 - special.nctdtr(degrees, shift, critical)
    return float(upper + special.nctdtr(degrees, shift, -critical))


def equivalence_power(difference: Difference, margin: float, alpha: float = 0.05) -> float:
    """Power of the two one-sided tests at level alpha for |difference| < margin.

    The sum of the one-sided powers minus one, which is slightly too low for few seeds.
    """
    if not difference.varies:
        return float(abs(difference.estimate) < margin)
    degrees, error = difference.degrees, difference.standard_error
    critical = difference.reach(1 - 2 * alpha) / error
    shifts = (margin + np.array([-1.0, 1.0]) * difference.estimate) / error
    if shifts.min() <= 0:
        return 0.0
    return float(max(0.0, (1 - special.nctdtr(degrees, shifts, critical)).sum() - 1))


def decision_power(
    difference: Difference, margin: float | None = None, alpha: float = 0.05
) -> float:
    """Chance that the difference is shown or, with a margin, that equivalence is.

    The two exclude each other unless nothing would be left undecided, so their chances add up.
    """
    shown = power(difference, alpha)
    if margin is not None:
        shown += equivalence_power(difference, margin, alpha)
    return min(shown, 1.0)


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
      the seeds of each arm, at least `at_least`; None if even 10,000 would not suffice, which
      happens when the uncertainty comes from the test examples or the difference is zero.
    """

    def enough(seeds: int) -> bool:
        return decision_power(difference.at(seeds), margin, alpha) >= power_wanted

    return _fewest(enough, at_least, MOST_SEEDS)


def examples_needed(
    difference: Difference,
    margin: float | None = None,
    alpha: float = 0.05,
    power_wanted: float = 0.8,
) -> int | None:
    """The fewest test examples for a decision with the seeds as they are; see `seeds_needed`.

    Returns:
      the number of examples (of units, if they are clustered), at least those there are; None if
      the seeds would not suffice on any test set.
    """

    def enough(examples: int) -> bool:
        return decision_power(difference.on(examples), margin, alpha) >= power_wanted

    return _fewest(enough, difference.examples, MOST_EXAMPLES)


def _fewest(enough: Callable[[int], bool], at_least: int, most: int) -> int | None:
    """The smallest sufficient number, to 1 %, from `at_least` on; None if `most` is too few."""
    if enough(at_least):
        return at_least
    low, high = at_least, 2 * at_least
    while not enough(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def detectable_difference(
    view: Difference, alpha: float = 0.05, power_wanted: float = 0.8
) -> float:
    """The minimum detectable effect with the seeds of `view`.

    The estimate of `view` is not used, only its variances and seeds.
    """
    if not view.varies:
        return 0.0
    error, degrees = view.standard_error, view.degrees
    critical = view.reach(1 - alpha) / error
    # nctdtrinc gives the noncentrality with a given lower tail; the far tail is negligible there.
    return float(special.nctdtrinc(degrees, 1 - power_wanted, critical) * error)
