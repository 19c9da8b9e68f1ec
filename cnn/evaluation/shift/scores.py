"""Per-image scores of tables of predictions, in float64, and confidence intervals."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

Scores = dict[str, np.ndarray]


def pair_scores(predictions: np.ndarray) -> Scores:
    """Scores of sampled pairs of shifts.

    Args:
      predictions: predicted classes `[R, 2, B]` of R pairs of shifts.

    Returns:
      `consistency` `[B]`: share of pairs with equal predictions, correct or not (Zhang, ICML 2019).
    """
    return {"consistency": (predictions[:, 0] == predictions[:, 1]).mean(0, dtype=np.float64)}


def grid_scores(predictions: np.ndarray, labels: np.ndarray) -> Scores:
    """Scores over all shifts of a grid.

    Args:
      predictions: predicted classes `[S, B]`.
      labels: `[B]`.

    Returns:
      Arrays `[B]`:
        consistency: probability that two shifts, drawn independently and uniformly from the grid,
          give the same class: the sum over classes of (share of shifts)^2. `pair_scores` estimates
          it by sampling.
        accuracy: mean over the shifts.
        joint: probability that both of two such shifts give the correct class.
        worst_case: 1 if all shifts give the correct class.
        stable: 1 if all shifts give the same class, correct or not.
    """
    hits = predictions == labels
    # One shift at a time, as a table of all pairs of shifts would not fit in memory.
    same = sum((one == predictions).mean(0, dtype=np.float64) for one in predictions)
    accuracy = hits.mean(0, dtype=np.float64)
    return {
        "consistency": same / len(predictions),
        "accuracy": accuracy,
        "joint": accuracy**2,
        "worst_case": hits.all(0).astype(np.float64),
        "stable": (predictions == predictions[:1]).all(0).astype(np.float64),
    }


def path_scores(predictions: np.ndarray, probabilities: np.ndarray) -> Scores:
    """Scores along a path of shifts (the diagonal in Zhang, ICML 2019, figure 5).

    Args:
      predictions: predicted classes `[S, B]` in the order of the path.
      probabilities: of the correct class, `[S, B]`.

    Returns:
      deviation `[B]`: population standard deviation of the probability along the path; flips
      `[B]`: number of changes of the prediction between neighbouring shifts.
    """
    return {
        "deviation": probabilities.astype(np.float64).std(0),
        "flips": (predictions[1:] != predictions[:-1]).sum(0).astype(np.float64),
    }


def wilson(mean: float, count: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson interval for the mean of `count` independent values in [0, 1].

    It is conservative for values other than 0 and 1, whose variance is below mean (1 - mean). Its
    scope of inference is other images of the same distribution, for this trained network.
    """
    z = stats.norm.ppf(0.5 + level / 2)
    centre = (mean + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(mean * (1 - mean) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    low = 0.0 if mean == 0 else centre - half
    high = 1.0 if mean == 1 else centre + half
    return float(max(low, 0)), float(min(high, 1))


def clustered(
    means: Sequence[float], counts: Sequence[int], level: float = 0.95
) -> tuple[float, float] | None:
    """Student t interval for the mean of clustered values, clipped to [0, 1].

    Images of a batch that share their shifts form a cluster, as they are not independent.

    Args:
      means: cluster means.
      counts: cluster sizes, used as weights.
      level: confidence level.

    Returns:
      Low and high, or None for a single cluster, whose variance is unknown.
    """
    if len(means) < 2:
        return None
    means, weights = np.asarray(means, np.float64), np.asarray(counts, np.float64)
    mean = float((weights * means).sum() / weights.sum())
    residuals = weights * (means - mean) / weights.sum()
    error = np.sqrt((residuals**2).sum() * len(means) / (len(means) - 1))
    half = stats.t.ppf(0.5 + level / 2, len(means) - 1) * error
    return float(max(mean - half, 0)), float(min(mean + half, 1))
