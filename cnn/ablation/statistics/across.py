"""Summaries over several networks, and rank stability."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats


def iqm(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Interquartile mean: of the middle half of all runs of all networks.

    Agarwal et al. 2021, arXiv:2108.13264.

    Args:
      scores: for each network `[..., seeds]`.

    Returns:
      `[...]`.
    """
    return stats.trim_mean(np.concatenate(scores, axis=-1), 0.25, axis=-1)


def probability_of_improvement(
    arm: Sequence[np.ndarray], baseline: Sequence[np.ndarray]
) -> np.ndarray:
    """Probability that a run of the arm beats one of the baseline, averaged over networks.

    The Mann-Whitney U over the number of pairs; a tie counts one half. Agarwal et al. 2021.

    Args:
      arm, baseline: for each network `[..., seeds]`.

    Returns:
      `[...]`.
    """
    shares = [
        np.sign(a[..., :, None] - b[..., None, :]).mean(axis=(-2, -1))
        for a, b in zip(arm, baseline, strict=True)
    ]
    return 0.5 + 0.5 * np.mean(shares, axis=0)


def stratified_interval(
    statistic: Callable[..., np.ndarray],
    *groups: Sequence[np.ndarray],
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of `statistic(*groups)` with seeds resampled within each network.

    Args:
      statistic: of as many arguments as there are groups; takes `[samples, seeds]` for each
        network and returns `[samples]`.
      groups: for each arm, a list of `[seeds]` over networks.
      level: of confidence.
      samples: replicates.
      seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    drawn = statistic(
        *([rng.choice(scores, (samples, len(scores))) for scores in group] for group in groups)
    )
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def rank_distribution(
    scores: Sequence[np.ndarray], samples: int = 2000, seed: int = 0
) -> np.ndarray:
    """How often each arm takes each rank when the seeds are resampled.

    Args:
      scores: for each arm its `[seeds]`, larger is better.
      samples: bootstrap replicates; each arm's seeds are resampled on their own.
      seed: of the random numbers.

    Returns:
      float `[arms, arms]`; entry (a, r) is the share of replicates with arm a at rank r, the best
      being rank 0. Tied arms share their ranks in a random order.
    """
    rng = np.random.default_rng(seed)
    means = np.stack(
        [
            np.asarray(s, float)[rng.integers(0, len(s), (samples, len(s)))].mean(axis=1)
            for s in scores
        ],
        axis=1,
    )
    # Means that are equal up to rounding errors are ties.
    order = np.lexsort((rng.random(means.shape), -means.round(12)), axis=1)
    places = np.argsort(order, axis=1)
    arms = len(scores)
    return np.stack([np.bincount(places[:, a], minlength=arms) / samples for a in range(arms)])


def kendalls_w(scores: np.ndarray) -> float:
    """Kendall's W, the agreement of the seeds on the order of the arms: 0 to 1 (tie-corrected).

    Args:
      scores: `[arms, seeds]`, each seed ranking the arms; 3 arms and 2 seeds or more.
    """
    arms, seeds = scores.shape
    if np.ptp(scores, axis=0).max() == 0:
        return 0.0
    return float(stats.friedmanchisquare(*scores).statistic / (seeds * (arms - 1)))
