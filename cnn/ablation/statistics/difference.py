"""A difference between two arms: estimate, uncertainty, and what more seeds would change.

Three designs share one class, so that tests, intervals and power analysis exist once:

- `paired`: seed k of both arms shares initialisation, data order and augmentation.
- `welch`: the seeds of the two arms are independent. The variance over seeds may be pooled over all
  arms of the study; see `seed_variances`.
- `over_examples`: either of them, crossed with test examples, from per-example outcomes.

What the seeds add to the uncertainty is Student's t, with Satterthwaite's (1946, Biometrics
Bulletin 2:110) degrees of freedom, which are Welch's for two sets of seeds. What the examples add
is Student's t too, with one degree of freedom less than there are independent examples. The two
are convolved, which is Behrens and Fisher's (1935) solution: from 3 seeds on, and at the small
levels that a family of arms needs, its error rate stays at or below the nominal level.
Satterthwaite's t over both parts exceeds it several-fold there, because a variance over seeds that
is underestimated also gets too many degrees of freedom.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import optimize, special

# Discordant examples that are added to those seen (Agresti and Min 2005, Biometrics 61:515, add two
# to each kind): none among N examples does not mean that there are none among all.
PLUS = 4


@dataclass(frozen=True)
class Difference:
    """An estimated difference, arm minus baseline.

    Attributes:
      estimate: in units of the metric.
      seed_variances: variance that one seed adds, for each independent set of seeds: one set if
        the arms are paired by seed, two if not.
      seeds: the number of seeds in each set.
      borrowed: by how much the degrees of freedom of each variance exceed those of the set's own
        seeds, as a factor; 1 for a set that varies more than the rest; (): nothing was borrowed.
      example_variance: variance that the choice of test examples adds, whatever the number of
        seeds; 0 if the difference is about this test set only.
      examples: the number of independent test examples, or of their units; 0 if the difference is
        about this test set only.
    """

    estimate: float
    seed_variances: tuple[float, ...]
    seeds: tuple[int, ...]
    borrowed: tuple[float, ...] = ()
    example_variance: float = 0.0
    examples: int = 0

    @property
    def _parts(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Variance and degrees of freedom of the contributions of seeds and of examples."""
        seeds = np.asarray(self.seeds, float)
        terms = np.asarray(self.seed_variances) / seeds
        factors = np.asarray(self.borrowed or (1.0,) * len(seeds))
        degrees, shared, total = (seeds - 1) * factors, factors > 1, float(terms.sum())
        squares = float((terms[~shared] ** 2 / degrees[~shared]).sum())
        if self.borrowed and not shared.all() and not self.examples:
            # A set that varies more than the rest, and no test examples to blur how its seeds are
            # distributed: the fewest degrees (Hsu 1938), as skewed seeds would err too often.
            squares = total**2 / float(degrees[~shared].min())
        elif shared.any():  # one estimate, whose error is common to both
            squares += float(terms[shared].sum() ** 2 / degrees[shared].mean())
        by_seed = total, total**2 / squares if squares > 0 else np.inf
        return by_seed, (self.example_variance, float(max(self.examples - 1, 1)))

    @property
    def standard_error(self) -> float:
        """Standard deviation of the estimate."""
        return float(np.sqrt(sum(variance for variance, _ in self._parts)))

    @property
    def degrees(self) -> float:
        """Satterthwaite's degrees of freedom of the standard error."""
        squares = sum(variance**2 / degrees for variance, degrees in self._parts)
        return float(self.standard_error**4 / squares) if squares > 0 else float("inf")

    @property
    def varies(self) -> bool:
        """Whether there is any variance; without it no uncertainty can be estimated."""
        return self.standard_error > 1e-12 * max(1.0, abs(self.estimate))

    def tail(self, distance: float) -> float:
        """Probability that the error of the estimate exceeds a distance in one direction."""
        (small, few), (large, many) = sorted(self._parts)
        if small == 0:
            return float(special.stdtr(many, -distance / np.sqrt(large)))
        nodes, weights = _quadrature(few)
        rest = distance - np.sqrt(small) * nodes
        return float(special.stdtr(many, -rest / np.sqrt(large)) @ weights)

    def reach(self, level: float) -> float:
        """Half-width of the interval at a confidence level."""
        outside = 0.5 - level / 2
        each = [-special.stdtrit(d, outside) * np.sqrt(v) for v, d in self._parts if v > 0]
        if len(each) == 1:
            return float(each[0])
        return float(
            optimize.brentq(
                lambda d: self.tail(d) - outside, 0.8 * max(each), 1.1 * sum(each), rtol=1e-9
            )
        )

    def p_value(self) -> float:
        """Two-sided p-value of no difference; 1 without any variance."""
        return min(2 * self.tail(abs(self.estimate)), 1.0) if self.varies else 1.0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval at a confidence level; infinite without any variance."""
        half = self.reach(level) if self.varies else float("inf")
        return float(self.estimate - half), float(self.estimate + half)

    def equivalence_p(self, margin: float) -> float:
        """Two one-sided tests (Schuirmann 1987): p of a difference of `margin` or more.

        The larger of the two one-sided p: small means |difference| < margin. 1 without any
        variance.
        """
        return self.tail(margin - abs(self.estimate)) if self.varies else 1.0

    def at(self, seeds: int) -> "Difference":
        """The same difference with another number of seeds (in each set)."""
        return replace(self, seeds=(seeds,) * len(self.seeds))

    def on(self, examples: int) -> "Difference":
        """The same difference with another number of test examples."""
        scaled = self.example_variance * self.examples / examples
        return replace(self, example_variance=scaled, examples=examples)


@lru_cache(maxsize=256)
def _quadrature(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a mean over Student's t, dense in the middle and far into the tails."""
    edges = np.sinh(np.linspace(-12, 12, 601))
    weights = np.diff(special.stdtr(degrees, edges))
    return (edges[1:] + edges[:-1]) / 2, weights / weights.sum()


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Returns the mean of `[seeds]` and the ends of its Student interval.

    The ends are NaN without any variance: of one value, or of equal ones.
    """
    values = np.asarray(values, float)
    mean = float(values.mean())
    if len(values) < 2 or not np.ptp(values):
        return mean, float("nan"), float("nan")
    error = values.std(ddof=1) / np.sqrt(len(values))
    half = float(special.stdtrit(len(values) - 1, 0.5 + level / 2) * error)
    return mean, mean - half, mean + half


def share_interval(
    values: np.ndarray, floor: float = 0.0, level: float = 0.95
) -> tuple[float, float, float]:
    """Returns the mean of shares `[seeds]` and the ends of its interval, within 0 and 1.

    Student's interval of the log-odds, by the delta method, which widens towards the middle and
    stays between 0 and 1. The ends are NaN without any variance: of one value, or of equal ones
    with a floor of 0.

    Args:
      values: in [0, 1].
      floor: of their variance, which a few equal shares would make 0; see `seed_floor`.
      level: of confidence.
    """
    values = np.asarray(values, float)
    mean = float(values.mean())
    if len(values) < 2 or not (np.ptp(values) or floor):
        return mean, float("nan"), float("nan")
    error = np.sqrt(max(values.var(ddof=1), floor) / len(values))
    # A mean of exactly 0 or 1 has no log-odds; two standard errors away from the end it has.
    inner = float(np.clip(mean, 2 * error, 1 - 2 * error)) if error < 0.25 else 0.5
    half = special.stdtrit(len(values) - 1, 0.5 + level / 2) * error / (inner * (1 - inner))
    low, high = special.expit(special.logit(inner) + np.array([-half, half]))
    return mean, min(float(low), mean), max(float(high), mean)


def paired(arm: np.ndarray, baseline: np.ndarray, floor: float = 0.0) -> Difference:
    """Difference of `[seeds]` values whose seeds match one to one.

    Args:
      arm, baseline: row k of both has the same seed.
      floor: of the variance of a seed's difference.
    """
    gaps = np.asarray(arm, float) - np.asarray(baseline, float)
    return Difference(
        float(gaps.mean()), (max(float(gaps.var(ddof=1)), floor),), (len(gaps),), (1.0,)
    )


@dataclass(frozen=True)
class SeedVariance:
    """How much the metric of one arm varies from seed to seed.

    Attributes:
      value: variance over seeds.
      borrowed: by how much its degrees of freedom exceed those of the arm's own seeds.
    """

    value: float
    borrowed: float = 1.0


def own_variance(values: np.ndarray, floor: float = 0.0) -> SeedVariance:
    """The variance of an arm's own seeds, `[seeds]`."""
    return SeedVariance(max(float(np.var(values, ddof=1)), floor))


def seed_variances(
    arms: Sequence[np.ndarray], floors: Sequence[float] | None = None
) -> list[SeedVariance]:
    """The variance over seeds of every arm: its own, or the pooled one if that is larger.

    A variance estimated from few seeds is imprecise, and most false verdicts come from arms whose
    variance is underestimated by chance. So the variance is pooled over the arms. An arm that
    varies more than the pooled estimate keeps its own variance and degrees of freedom: without that
    check, one arm with three times the standard deviation of the others would double the rate of
    false verdicts.

    Args:
      arms: each `[seeds]`, 2 or more.
      floors: of each arm's variance.
    """
    own = np.array([np.var(values, ddof=1) for values in arms])
    own = np.maximum(own, floors if floors is not None else 0.0)
    degrees = np.array([len(values) - 1.0 for values in arms])
    shared = float(own @ degrees / degrees.sum())
    return [
        SeedVariance(float(mine)) if mine > shared else SeedVariance(shared, degrees.sum() / mine_d)
        for mine, mine_d in zip(own, degrees, strict=True)
    ]


def welch(
    arm: np.ndarray,
    baseline: np.ndarray,
    variances: tuple[SeedVariance, SeedVariance] | None = None,
) -> Difference:
    """Difference of `[seeds]` values of two independent sets of seeds (Welch 1947).

    Args:
      arm, baseline: the values.
      variances: of their seeds; None: their own.
    """
    arm, baseline = np.asarray(arm, float), np.asarray(baseline, float)
    first, second = variances or (own_variance(arm), own_variance(baseline))
    return Difference(
        float(arm.mean() - baseline.mean()),
        (first.value, second.value),
        (len(arm), len(baseline)),
        (first.borrowed, second.borrowed) if variances else (),
    )


def seed_floor(outcomes: np.ndarray) -> float:
    """Lower bound on the variance of the accuracy over seeds, from per-example outcomes.

    The variance that independent disagreements between seeds would cause, and at least that of one
    example, however equal the observed accuracies are.

    Args:
      outcomes: `[seeds, examples]`, whether each prediction is correct, or the difference of two
        such tables.
    """
    examples = outcomes.shape[1]
    apart = float(outcomes.var(axis=0, ddof=1, dtype=np.float64).mean())
    return max(apart / examples, 1 / examples**2)


def over_examples(
    difference: Difference,
    arm: np.ndarray,
    baseline: np.ndarray,
    *,
    pair_seeds: bool,
    units: np.ndarray | None = None,
) -> Difference:
    """The same difference in accuracy, with inference for new test examples as well as new seeds.

    Seeds and examples are random and crossed: every seed meets every example. With the mean
    squares of the two-way layout, var = (MS_seeds + MS_examples - MS_residual) / (seeds examples)
    (Searle, Casella, McCulloch 1992, section 4.3); a negative share of the examples counts as 0,
    and four discordant examples are added to those seen. For unpaired seeds each arm has its own
    seeds and residual, and the examples are shared.

    Args:
      difference: over the seeds.
      arm, baseline: bool `[seeds, examples]`, whether each answer was right; the same examples.
      pair_seeds: whether row k of both has the same seed.
      units: int `[examples]`, the speaker, video or patient that each example is of; only those
        are independent. None: every example is.
    """
    tables = _tables(arm, baseline, pair_seeds)
    examples = arm.shape[1]
    means = [table.mean(axis=0) for table in tables]
    by_example = means[0] - means[1] if len(means) == 2 else means[0]
    centred = by_example - by_example.mean()
    seen, independent = _variance_of_mean(centred), examples
    if units is not None:
        sums = np.bincount(np.unique(units, return_inverse=True)[1], weights=centred)
        independent = len(sums)
        # Correlation within a unit is taken to be positive.
        seen = max(seen, _variance_of_mean(sums) * (independent / examples) ** 2)
    residual = sum(_residual(table) / table.size for table in tables)
    return replace(
        difference,
        example_variance=max(seen - residual, 0.0) + PLUS / examples**2,
        examples=independent,
    )


def _variance_of_mean(centred: np.ndarray) -> float:
    count = len(centred)
    return float(centred @ centred) / max(count - 1, 1) / count


def crossed(
    arm: np.ndarray,
    baseline: np.ndarray,
    *,
    pair_seeds: bool,
    variances: tuple[SeedVariance, SeedVariance] | None = None,
    units: np.ndarray | None = None,
) -> Difference:
    """Difference in accuracy of bool `[seeds, examples]`; see `over_examples`."""
    values = arm.mean(axis=1), baseline.mean(axis=1)
    if pair_seeds:
        [gaps] = _tables(arm, baseline, True)
        over_seeds = paired(*values, floor=seed_floor(gaps))
    else:
        own = tuple(
            own_variance(v, seed_floor(t)) for v, t in zip(values, (arm, baseline), strict=True)
        )
        over_seeds = welch(*values, variances or own)
    return over_examples(over_seeds, arm, baseline, pair_seeds=pair_seeds, units=units)


def _tables(arm: np.ndarray, baseline: np.ndarray, pair_seeds: bool) -> list[np.ndarray]:
    arm, baseline = np.asarray(arm, np.int8), np.asarray(baseline, np.int8)
    return [arm - baseline] if pair_seeds else [arm, baseline]


def _residual(table: np.ndarray) -> float:
    """Residual mean square of the two-way layout of `[seeds, examples]`."""
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    seeds, examples = table.shape
    if examples == 1:
        return 0.0
    total = float(np.square(table, dtype=np.int64).sum()) - table.size * rows.mean() ** 2
    explained = examples * rows.var() * seeds + seeds * columns.var() * examples
    return max(total - float(explained), 0.0) / ((seeds - 1) * (examples - 1))
