"""Do probabilities hold what they say? Errors of calibration, and temperature scaling."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from cnn.config.errors import UserError

BINS = 15
LOG_TEMPERATURE = (-5.0, 5.0)  # natural; beyond 1/148 and 148 nothing changes any more


@dataclass(frozen=True)
class Bins:
    """A reliability diagram: examples grouped by confidence.

    Attributes:
      counts: examples of each bin.
      confidence: mean of each bin; NaN where it is empty.
      accuracy: likewise.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    def error(self) -> float:
        """Expected calibration error: sum over bins of (n_b / n) |accuracy - confidence|."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())


def equal_width_bins(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Bins:
    """Groups by ((b - 1) / bins, b / bins], as Guo et al. (ICML 2017).

    Args:
      confidence: largest probability of each example, `[N]`.
      correct: whether its class is right, `[N]`.
      bins: how many.
    """
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    return _grouped(index, confidence, correct, bins)


def equal_mass_bins(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Bins:
    """Groups the examples, sorted by confidence, into bins of equal size (or one less).

    Adaptive calibration error of Nguyen & O'Connor (EMNLP 2015). Equal confidences keep the order
    of the examples. Arguments as in `equal_width_bins`.
    """
    index = np.empty(len(confidence), int)
    order = np.argsort(confidence, kind="stable")
    for b, members in enumerate(np.array_split(order, bins)):
        index[members] = b
    return _grouped(index, confidence, correct, bins)


def _grouped(index: np.ndarray, confidence: np.ndarray, correct: np.ndarray, bins: int) -> Bins:
    counts = np.bincount(index, minlength=bins)
    sums = [
        np.bincount(index, weights=v.astype(np.float64), minlength=bins)
        for v in (confidence, correct)
    ]
    filled = np.where(counts > 0, counts, np.nan)
    return Bins(counts, sums[0] / filled, sums[1] / filled)


def calibration(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> dict[str, Any]:
    """Computes calibration in float64.

    Args:
      logits: `[N, K]`.
      labels: `[N]`.
      temperature: that divides the logits.

    Returns:
      accuracy; nll: mean of -log p(right class), nats; brier: mean of the sum over classes of
      (p - one-hot)^2, from 0 to 2; ece and ece_equal_mass with 15 bins; confidence: its mean; and
      `equal_width`, `equal_mass`: {"counts", "confidence", "accuracy"} by bin, None where empty.
    """
    log_p = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    p = np.exp(log_p)
    rows = np.arange(len(labels))
    right = np.zeros_like(p)
    right[rows, labels] = 1
    confidence, correct = p.max(1), p.argmax(1) == labels
    width, mass = equal_width_bins(confidence, correct), equal_mass_bins(confidence, correct)
    return {
        "count": len(labels),
        "accuracy": float(correct.mean()),
        "confidence": float(confidence.mean()),
        "nll": float(-log_p[rows, labels].mean()),
        "brier": float(((p - right) ** 2).sum(1).mean()),
        "ece": width.error(),
        "ece_equal_mass": mass.error(),
        "equal_width": _plain(width),
        "equal_mass": _plain(mass),
    }


def _plain(bins: Bins) -> dict[str, list]:
    means = {
        name: [None if np.isnan(v) else float(v) for v in values]
        for name, values in (("confidence", bins.confidence), ("accuracy", bins.accuracy))
    }
    return {"counts": bins.counts.tolist()} | means


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature that minimises the NLL (Guo et al., ICML 2017).

    To be fitted on examples that are not measured on. Predictions stay what they are.

    Args:
      logits: `[N, K]` of the validation part.
      labels: `[N]`.

    Raises:
      UserError: there is no example.
    """
    if not len(labels):
        raise UserError(
            "data.validation: the validation part is empty, so no temperature can be fitted; "
            "train with data.validation, such as 10%"
        )
    logits, rows = logits.astype(np.float64), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -log_p[rows, labels].mean()

    # The loss is convex in 1 / T, so it has one minimum in log T.
    found = minimize_scalar(loss, bounds=LOG_TEMPERATURE, method="bounded")
    return float(np.exp(found.x))
