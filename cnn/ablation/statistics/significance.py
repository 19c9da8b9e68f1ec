"""Tests other than Student's, and adjustments for multiple comparisons."""

import numpy as np
from scipy import stats
from scipy.special import ndtr

EXACT_SIGN_FLIPS = 20  # seeds up to which all 2^(n-1) sign patterns are enumerated
_NODES = 96  # of each integral of Dunnett's test


def sign_flip(differences: np.ndarray, samples: int = 100_000, seed: int = 0) -> float:
    """Two-sided sign-flip permutation p of paired differences `[seeds]`.

    Assumes only that a difference is as likely as its negative. All sign patterns for up to 20
    seeds, otherwise `samples` random ones and (hits + 1) / (samples + 1), which stays valid. The
    smallest p that n seeds can give is 2^(1-n).
    """
    values = np.asarray(differences, float)
    observed = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    if len(values) > EXACT_SIGN_FLIPS:
        return _sampled_sign_flip(values, observed, samples, seed)
    sums = values[:1]  # the other sign of the first value mirrors every pattern
    for value in values[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return float(np.mean(np.abs(sums) >= observed))


def _sampled_sign_flip(values: np.ndarray, observed: float, samples: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    hits = 0
    for start in range(0, samples, 10_000):
        size = (min(10_000, samples - start), len(values))
        signs = rng.integers(0, 2, size, dtype=np.int8) * 2 - 1
        hits += int(np.sum(np.abs(signs @ values) >= observed))
    return (hits + 1) / (samples + 1)


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided mid-p that two trained networks err equally often on the same examples.

    The mid-p counts half of the observed outcome and is less conservative than the exact p
    (Fagerland, Lydersen, Laake 2013). It is about two trained networks, not about their arms:
    another seed gives another network.

    Args:
      first, second: bool `[examples]`, whether each answer was right.
    """
    gained = int(np.sum(first & ~second))
    lost = int(np.sum(second & ~first))
    if gained == lost:  # both tails hold the observed outcome
        return float(1 - 0.5 * stats.binom.pmf(gained, gained + lost, 0.5)) if gained else 1.0
    exact = stats.binomtest(gained, gained + lost).pvalue
    return float(exact - stats.binom.pmf(min(gained, lost), gained + lost, 0.5))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's (1979) adjusted p of `[hypotheses]`: claiming those <= alpha errs at most alpha."""
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * steps), 1.0)
    return adjusted


def holm_levels(p_values: np.ndarray, alpha: float = 0.05) -> np.ndarray:
    """The level at which Holm's procedure tests each of `[hypotheses]`.

    An interval at one minus this level leaves out zero exactly when the hypothesis is rejected.
    """
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values, kind="stable")
    rejected = int(np.sum(holm(p_values) <= alpha))
    steps = np.minimum(np.arange(len(p_values)), rejected)
    levels = np.empty_like(p_values)
    levels[order] = alpha / (len(p_values) - steps)
    return levels


def dunnett(arms: list[np.ndarray], baseline: np.ndarray) -> np.ndarray:
    """Dunnett's (1955) adjusted two-sided p of each arm's `[seeds]` against one baseline.

    Assumes independent seeds and one variance for all arms. What the arms' statistics have in
    common is the baseline and the estimate of the variance; given both they are independent, so the
    probability that all stay below a bound is an integral over these two, for any number of arms
    (`scipy.stats.dunnett` integrates over all arms at random). Exact to about 1e-5.
    """
    samples = [np.asarray(arm, float) for arm in arms]
    control = np.asarray(baseline, float)
    counts = np.array([len(sample) for sample in samples])
    freedom = counts.sum() + len(control) - len(samples) - 1
    squares = sum(((each - each.mean()) ** 2).sum() for each in (*samples, control))
    errors = np.sqrt(squares / freedom * (1 / counts + 1 / len(control)))
    gains = np.abs([sample.mean() - control.mean() for sample in samples])
    # Arms without any variation are equal or they are not.
    bounds = np.divide(gains, errors, out=np.where(gains > 0, np.inf, 0.0), where=errors > 0)
    return 1 - _all_below(bounds, np.sqrt(counts / (counts + len(control))), freedom)


def _all_below(bounds: np.ndarray, shares: np.ndarray, freedom: int) -> np.ndarray:
    """Returns the probability that all |t| stay below each bound where there is no difference.

    Args:
      bounds: `[bounds]`.
      shares: correlation of each arm's statistic with the baseline's mean, `[arms]`.
      freedom: degrees of freedom of the common variance.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    quantiles, masses = np.polynomial.legendre.leggauss(_NODES)
    deviations = np.sqrt(stats.chi2.ppf((quantiles + 1) / 2, freedom) / freedom)
    # Arms with equal numbers of seeds have the same integrand.
    shares, repeats = np.unique(shares, return_counts=True)
    common = nodes[:, None] * shares
    own = np.sqrt(1 - shares**2)

    def below(bound: float) -> float:
        if not np.isfinite(bound):
            return 1.0
        reach = bound * deviations[:, None, None]
        inside = ndtr((reach - common) / own) - ndtr((-reach - common) / own)
        return masses / 2 @ (inside**repeats).prod(-1) @ (weights / weights.sum())

    return np.array([below(bound) for bound in bounds])
