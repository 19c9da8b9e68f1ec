"""Scores from tables of predictions, per image, in float64."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

Scores = dict[str, np.ndarray]


def pair_scores(predictions: np.ndarray) -> Scores:
    """Scores of sampled pairs of shifts.

    Args:
      predictions: classes `[R, 2, B]` of R pairs of shifts.

    Returns:
      `consistency` `[B]`: share of the pairs whose two predictions are the same class, right or
      wrong (Zhang, ICML 2019).
    """
    return {"consistency": (predictions[:, 0] == predictions[:, 1]).mean(0, dtype=np.float64)}


def grid_scores(predictions: np.ndarray, labels: np.ndarray) -> Scores:
    """Scores over all shifts of a grid.

    Args:
      predictions: classes `[S, B]`.
      labels: `[B]`.

    Returns:
      Arrays `[B]`, whose means over all images are:
        consistency: probability that two shifts, drawn independently and uniformly from the grid,
          give the same class: the sum over classes of (share of shifts)^2. What `pair_scores`
          estimates by sampling, without its noise.
        accuracy: over the shifts.
        joint: probability that both of two such shifts give the right class.
        worst_case: 1 if all shifts give the right class.
        stable: 1 if all shifts give one class, right or wrong.
    """
    hits = predictions == labels
    # One shift against all at a time: a table of all pairs would not fit for many shifts.
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
    """Scores along a path of shifts (Zhang, ICML 2019, figure 5: the diagonal).

    Args:
      predictions: classes `[S, B]`, neighbours on the path beside each other.
      probabilities: of the right class, `[S, B]`.

    Returns:
      deviation `[B]`: population standard deviation of the probability along the path; flips
      `[B]`: how often the prediction changes from one place to the next.
    """
    return {
        "deviation": probabilities.astype(np.float64).std(0),
        "flips": (predictions[1:] != predictions[:-1]).sum(0).astype(np.float64),
    }


def wilson(mean: float, count: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for the mean of `count` independent values within [0, 1].

    For values other than 0 and 1 it is conservative, as their variance is at most mean (1 - mean).
    It speaks for other images of the same distribution, and this trained network.
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
    """Student's interval for a mean of values that come in clusters, clipped to [0, 1].

    Args:
      means: of each cluster: the images of a batch share their shifts, so are not independent.
      counts: their sizes, as weights.
      level: of confidence.

    Returns:
      Low and high, or None for a single cluster, whose variance is not known.
    """
    if len(means) < 2:
        return None
    means, weights = np.asarray(means, np.float64), np.asarray(counts, np.float64)
    mean = float((weights * means).sum() / weights.sum())
    residuals = weights * (means - mean) / weights.sum()
    error = np.sqrt((residuals**2).sum() * len(means) / (len(means) - 1))
    half = stats.t.ppf(0.5 + level / 2, len(means) - 1) * error
    return float(max(mean - half, 0)), float(min(mean + half, 1))
