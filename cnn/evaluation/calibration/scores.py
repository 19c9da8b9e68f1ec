"""Calibration errors, proper scores and temperature scaling."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from cnn.config.errors import UserError

BINS = 15
ROWS = 4096  # logits read at a time
LOG_TEMPERATURE = (-5.0, 5.0)  # natural logarithm; nothing changes beyond 1/148 and 148


@dataclass(frozen=True)
class Bins:
    """A reliability diagram: examples grouped by confidence.

    Attributes:
      counts: examples per bin.
      confidence: mean confidence per bin; NaN for empty bins.
      accuracy: accuracy per bin; NaN for empty bins.
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
    """Groups by confidence in ((b - 1) / bins, b / bins], as Guo et al. (ICML 2017).

    Args:
      confidence: maximum softmax probability of each example, `[N]`.
      correct: whether the prediction is correct, `[N]`.
      bins: number of bins.
    """
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    return _grouped(index, confidence, correct, bins)


def equal_mass_bins(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Bins:
    """Groups the examples, sorted by confidence, into bins whose sizes differ by at most one.

    Used by the adaptive calibration error of Nguyen & O'Connor (EMNLP 2015). Ties keep the order of
    the examples. Arguments as in `equal_width_bins`.
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


def check_finite(logits: np.ndarray) -> None:
    """Raises a `UserError` if any logit is not finite."""
    if not np.isfinite(logits).all():
        raise UserError(
            "--suite: the network's outputs are not finite, so it has diverged and its "
            "probabilities are meaningless; use an earlier --step"
        )


class CalibrationTally:
    """Accumulates calibration metrics in 9 bytes per example.

    Args:
      temperature: divides the logits.
    """

    def __init__(self, temperature: float = 1.0):
        self._temperature = temperature
        self._nll = self._brier = 0.0
        self._confidence: list[np.ndarray] = []
        self._correct: list[np.ndarray] = []

    def add(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Adds finite logits `[B, K]` and labels `[B]` of a batch, in float64."""
        log_p = log_softmax(logits.astype(np.float64) / self._temperature, axis=1)
        p, rows = np.exp(log_p), np.arange(len(labels))
        self._nll -= float(log_p[rows, labels].sum())
        self._confidence.append(p.max(1))
        self._correct.append(p.argmax(1) == labels)
        p[rows, labels] -= 1
        self._brier += float((p**2).sum())

    def summary(self) -> dict[str, Any]:
        """Returns the results over all examples.

        count; accuracy; confidence: mean maximum probability; nll: mean of -log p(label), in nats;
        brier: mean of the sum over classes of (p - one-hot)^2, from 0 to 2; ece and ece_equal_mass
        with 15 bins; equal_width and equal_mass: {"counts", "confidence", "accuracy"} per bin, None
        for empty bins.
        """
        confidence, correct = np.concatenate(self._confidence), np.concatenate(self._correct)
        width, mass = equal_width_bins(confidence, correct), equal_mass_bins(confidence, correct)
        count = len(correct)
        return {
            "count": count,
            "accuracy": float(correct.mean()),
            "confidence": float(confidence.mean()),
            "nll": self._nll / count,
            "brier": self._brier / count,
            "ece": width.error(),
            "ece_equal_mass": mass.error(),
            "equal_width": _plain(width),
            "equal_mass": _plain(mass),
        }


def calibration(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> dict[str, Any]:
    """Returns `CalibrationTally.summary` for logits `[N, K]` and labels `[N]` at a temperature."""
    tally = CalibrationTally(temperature)
    tally.add(logits, labels)
    return tally.summary()


def _plain(bins: Bins) -> dict[str, list]:
    means = {
        name: [None if np.isnan(v) else float(v) for v in values]
        for name, values in (("confidence", bins.confidence), ("accuracy", bins.accuracy))
    }
    return {"counts": bins.counts.tolist()} | means


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature that minimises the NLL (Guo et al., ICML 2017).

    Fit it on examples other than those that are evaluated. It does not change predictions.

    Args:
      logits: `[N, K]` of the validation split; read in blocks of rows, so it can be a memory map.
      labels: `[N]`.

    Raises:
      UserError: there are no examples.
    """
    if not len(labels):
        raise UserError(
            "data.validation: the validation split is empty, so no temperature can be fitted; "
            "train with data.validation, such as 10%"
        )

    def loss(log_temperature: float) -> float:
        total = 0.0
        for start in range(0, len(labels), ROWS):
            own = labels[start : start + ROWS]
            scaled = logits[start : start + ROWS].astype(np.float64) / np.exp(log_temperature)
            total -= log_softmax(scaled, axis=1)[np.arange(len(own)), own].sum()
        return total / len(labels)

    # The loss is convex in 1 / T, so it has a single minimum in log T.
    found = minimize_scalar(loss, bounds=LOG_TEMPERATURE, method="bounded")
    return float(np.exp(found.x))
