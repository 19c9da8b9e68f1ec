"""Two-level bootstrap: seeds and test examples are both resampled."""

import numpy as np
from scipy import special

from cnn.ablation.statistics.difference import crossed

CELLS = 1 << 21  # float64 cells that one chunk of replicates may take: 16 MiB
_DECIMALS = 12  # of shares: replicates that are equal up to rounding errors are ties


def two_level_bootstrap(
    arm: np.ndarray,
    baseline: np.ndarray,
    *,
    pair_seeds: bool,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """BCa interval of the difference in accuracy, over seeds and test examples.

    Rows and columns are resampled independently (pigeonhole bootstrap: Owen 2007, Annals of
    Applied Statistics 1:386), each replicate taking the same examples for both arms. The interval
    is BCa (Efron 1987, JASA 82:171); because a handful of seeds makes any bootstrap too narrow,
    the normal quantile is widened until a bootstrap without bias and skewness would give the
    interval of `crossed` (the expansion of Hesterberg 2015, The American Statistician 69:371).
    Below 5 seeds its ends are the extreme replicates.

    Args:
      arm, baseline: bool `[seeds, examples]`, whether each answer was right.
      pair_seeds: whether row k of both has the same seed.
      level: of confidence.
      samples: replicates.
      seed: of the random numbers.
    """
    difference = crossed(arm, baseline, pair_seeds=pair_seeds)
    rng = np.random.default_rng(seed)
    drawn = _replicates(arm, baseline, pair_seeds, samples, rng)
    if drawn.std() < 1e-12:
        return difference.interval(level)
    quantile = difference.reach(level) / float(drawn.std())
    return bca_interval(
        drawn, difference.estimate, _acceleration(arm, baseline, pair_seeds), quantile
    )


def bca_interval(
    replicates: np.ndarray, estimate: float, acceleration: float, quantile: float
) -> tuple[float, float]:
    """Bias-corrected accelerated interval from bootstrap replicates `[samples]`.

    Args:
      replicates: of the statistic.
      estimate: the statistic on the data.
      acceleration: a sixth of the skewness of the influence values.
      quantile: upper quantile of the pivot: 1.96 for Efron's 95 % interval.
    """
    replicates, estimate = replicates.round(_DECIMALS), round(estimate, _DECIMALS)
    below = np.mean(replicates < estimate) + 0.5 * np.mean(replicates == estimate)
    bias = special.ndtri(np.clip(below, 1 / len(replicates), 1 - 1 / len(replicates)))
    z = bias + np.array([-quantile, quantile])
    ends = special.ndtr(bias + z / np.maximum(1 - acceleration * z, 1e-3))
    low, high = np.quantile(replicates, ends)
    return float(low), float(high)


def _replicates(
    arm: np.ndarray,
    baseline: np.ndarray,
    pair_seeds: bool,
    samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Returns `[samples]` differences.

    Examples with the same outcomes for every seed are interchangeable, so their joint count is
    drawn: a multinomial over the distinct columns, few of which there are.
    """
    arm, baseline = arm.astype(np.int8), baseline.astype(np.int8)
    table = arm - baseline if pair_seeds else np.concatenate([arm, -baseline])
    patterns, counts = np.unique(table, axis=1, return_counts=True)
    patterns = patterns.astype(np.float64)
    examples = int(counts.sum())
    # The common patterns first: the rest is drawn from few. Stable: the same on every processor.
    order = np.argsort(-counts, kind="stable")
    patterns, shares = patterns[:, order], counts[order] / examples
    drawn = np.empty(samples)
    chunk = max(1, CELLS // len(shares))
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        rows = _row_weights(len(arm), len(baseline), pair_seeds, size, rng)
        columns = rng.multinomial(examples, shares, size=size) / examples
        drawn[start : start + size] = np.einsum("sr,sr->s", rows, columns @ patterns.T)
    return drawn


def _row_weights(
    arms: int, baselines: int, pair_seeds: bool, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns the share of each seed within its arm: `[size, rows of the table]`."""
    first = rng.multinomial(arms, np.full(arms, 1 / arms), size=size) / arms
    if pair_seeds:
        return first
    second = rng.multinomial(baselines, np.full(baselines, 1 / baselines), size=size) / baselines
    return np.concatenate([first, second], axis=1)


def _acceleration(arm: np.ndarray, baseline: np.ndarray, pair_seeds: bool) -> float:
    """A sixth of the skewness of the influence values of all seeds and examples together."""
    by_arm, by_baseline = arm.mean(axis=1), baseline.mean(axis=1)
    rows = [by_arm - by_baseline] if pair_seeds else [by_arm, -by_baseline]
    groups = [*rows, arm.mean(axis=0) - baseline.mean(axis=0)]
    influence = np.concatenate([(group - group.mean()) / len(group) for group in groups])
    return float(np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5))
