"""Out-of-distribution scores, higher for in-distribution examples, and their metrics."""

import numpy as np
from scipy.special import log_softmax, logsumexp
from scipy.stats import rankdata

ACCEPTED = 0.95  # true positive rate at which the false positive rate is measured


def max_probability(logits: np.ndarray) -> np.ndarray:
    """Maximum softmax probability `[N]` of logits `[N, K]` (Hendrycks & Gimpel, ICLR 2017)."""
    return np.exp(log_softmax(logits.astype(np.float64), axis=1).max(1))


def negative_energy(logits: np.ndarray) -> np.ndarray:
    """Negative energy `[N]` at temperature 1: log-sum-exp of the logits (Liu et al., 2020)."""
    return logsumexp(logits.astype(np.float64), axis=1)


SCORES = {"msp": max_probability, "energy": negative_energy}


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Area under the ROC curve: the probability that a known example scores above an unknown one.

    Ties count one half. It is the Mann-Whitney statistic, computed from mid-ranks.
    """
    ranks = rankdata(np.concatenate([known, unknown]))[: len(known)]
    pairs = len(known) * len(unknown)
    return float((ranks.sum() - len(known) * (len(known) + 1) / 2) / pairs)


def false_positive_rate(known: np.ndarray, unknown: np.ndarray) -> float:
    """FPR95: share of unknown examples above a threshold that accepts 95 % of the known ones."""
    place = int(np.ceil(ACCEPTED * len(known))) - 1
    threshold = np.sort(known)[::-1][place]
    return float((unknown >= threshold).mean())
