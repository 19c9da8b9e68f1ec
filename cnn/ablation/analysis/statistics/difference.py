"""A difference between two arms: its size, its uncertainty, and what more seeds would do to it.

Three designs lead to the same object, so that tests, intervals and planning exist once:

- `paired`: seed k of both arms shares initialisation, data order and augmentation.
- `welch`: the seeds of the two arms have nothing to do with each other.
- `crossed`: seeds (paired or not) crossed with test examples, from per-example outcomes.

What the seeds add to the uncertainty is Student's t, with Satterthwaite's (1946, Biometrics
Bulletin 2:110) degrees of freedom, which are Welch's for two sets of seeds. What the examples add
is nearly normal. The two are convolved, which is Behrens and Fisher's (1935) solution: from 3
seeds on, and at the small levels that a family of arms needs, it errs at most as often as it says.
Satterthwaite's t over both parts errs several times as often there, because a spread of the seeds
that comes out too small also gets too many degrees of freedom.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

GRID = np.linspace(-9, 9, 401)  # of the examples' share, in standard deviations
WEIGHTS = np.exp(-0.5 * GRID**2) / np.exp(-0.5 * GRID**2).sum()
NEGLIGIBLE = 0.02  # share of the seeds in the variance below which Satterthwaite's t is used


@dataclass(frozen=True)
class Difference:
    """An estimated difference, arm minus baseline.

    Attributes:
      estimate: in units of the metric.
      seed_variances: variance that one seed adds, for each independent set of seeds: one set if
        the arms are paired by seed, two if not.
      seeds: the number of seeds in each set.
      example_variance: variance that the choice of test examples adds, whatever the number of
        seeds; 0 if the difference is about this test set only.
      examples: the number of test examples; 0 if the difference is about this test set only.
    """

    estimate: float
    seed_variances: tuple[float, ...]
    seeds: tuple[int, ...]
    example_variance: float = 0.0
    examples: int = 0

    @property
    def _parts(self) -> tuple[float, float, float]:
        """Variance of the estimate due to seeds, its degrees of freedom, and due to examples."""
        seeds = np.asarray(self.seeds, float)
        terms = np.asarray(self.seed_variances) / seeds
        squares = float((terms**2 / (seeds - 1)).sum())
        total = float(terms.sum())
        return total, total**2 / squares if squares > 0 else np.inf, self.example_variance

    @property
    def standard_error(self) -> float:
        """Standard deviation of the estimate."""
        by_seed, _, by_example = self._parts
        return float(np.sqrt(by_seed + by_example))

    @property
    def degrees(self) -> float:
        """Satterthwaite's degrees of freedom of the standard error."""
        by_seed, degrees, by_example = self._parts
        squares = by_seed**2 / degrees + by_example**2 / max(self.examples - 1, 1)
        return float((by_seed + by_example) ** 2 / squares) if squares > 0 else float("inf")

    @property
    def spread(self) -> bool:
        """Whether the seeds differ at all; without that there is no telling how sure one is."""
        return self.standard_error > 1e-12 * max(1.0, abs(self.estimate))

    def tail(self, distance: float) -> float:
        """Chance that the error of the estimate exceeds a distance in one direction."""
        by_seed, degrees, by_example = self._parts
        if by_example == 0 or by_seed < NEGLIGIBLE * by_example:
            return float(special.stdtr(self.degrees, -distance / self.standard_error))
        rest = distance - np.sqrt(by_example) * GRID
        return float(special.stdtr(degrees, -rest / np.sqrt(by_seed)) @ WEIGHTS)

    def reach(self, level: float) -> float:
        """The distance that the error stays within, in both directions, at a confidence level."""
        outside = 0.5 - level / 2
        by_seed, degrees, by_example = self._parts
        alone = -special.stdtrit(degrees, outside) * np.sqrt(by_seed)
        normal = -special.ndtri(outside) * np.sqrt(by_example)
        if by_example == 0 or by_seed < NEGLIGIBLE * by_example:
            return float(-special.stdtrit(self.degrees, outside) * self.standard_error)
        low, high = 0.9 * max(alone, normal), alone + normal
        return float(optimize.brentq(lambda d: self.tail(d) - outside, low, high, rtol=1e-9))

    def p_value(self) -> float:
        """Two-sided p of no difference; 1 if the seeds do not spread."""
        return min(2 * self.tail(abs(self.estimate)), 1.0) if self.spread else 1.0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval at a confidence level.

        Without any spread it is the point 0 for arms that agree exactly, else everything.
        """
        unknown = 0.0 if self.estimate == 0 else float("inf")
        half = self.reach(level) if self.spread else unknown
        return float(self.estimate - half), float(self.estimate + half)

    def equivalence_p(self, margin: float) -> float:
        """Two one-sided tests (Schuirmann 1987): p of a difference of `margin` or more.

        The larger of the two one-sided p: small means |difference| < margin.
        """
        if not self.spread:
            return 0.0 if self.estimate == 0 else 1.0
        return self.tail(margin - abs(self.estimate))

    def at(self, seeds: int) -> "Difference":
        """The same difference as another number of seeds (in each set) would show it."""
        return replace(self, seeds=(seeds,) * len(self.seeds))


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Returns the mean of `[seeds]` and the ends of its Student interval (infinite for one)."""
    values = np.asarray(values, float)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("-inf"), float("inf")
    error = values.std(ddof=1) / np.sqrt(len(values))
    half = float(special.stdtrit(len(values) - 1, 0.5 + level / 2) * error)
    return mean, mean - half, mean + half


def paired(arm: np.ndarray, baseline: np.ndarray) -> Difference:
    """Difference of `[seeds]` values whose seeds match one to one."""
    gaps = np.asarray(arm, float) - np.asarray(baseline, float)
    return Difference(float(gaps.mean()), (float(gaps.var(ddof=1)),), (len(gaps),))


def welch(arm: np.ndarray, baseline: np.ndarray) -> Difference:
    """Difference of `[seeds]` values of two independent sets of seeds (Welch 1947)."""
    arm, baseline = np.asarray(arm, float), np.asarray(baseline, float)
    return Difference(
        float(arm.mean() - baseline.mean()),
        (float(arm.var(ddof=1)), float(baseline.var(ddof=1))),
        (len(arm), len(baseline)),
    )


def crossed(arm: np.ndarray, baseline: np.ndarray, *, pair_seeds: bool) -> Difference:
    """Difference in accuracy that speaks for new seeds and for new test examples.

    Seeds and examples are random and crossed: every seed meets every example. With the mean
    squares of the two-way layout, var = (MS_seeds + MS_examples - MS_residual) / (seeds examples)
    (Searle, Casella, McCulloch 1992, section 4.3); a negative share of the examples counts as 0.
    For unpaired seeds each arm has its own seeds and residual, and the examples are shared.

    Args:
      arm, baseline: bool `[seeds, examples]`, whether each answer was right; the same examples.
      pair_seeds: whether row k of both has the same seed.
    """
    if pair_seeds:
        tables = [np.asarray(arm, np.int8) - np.asarray(baseline, np.int8)]
    else:
        tables = [np.asarray(arm, np.int8), np.asarray(baseline, np.int8)]
    examples = arm.shape[1]
    columns = [table.mean(axis=0) for table in tables]
    by_example = columns[0] - columns[1] if len(columns) == 2 else columns[0]
    residual = sum(_residual(table) / table.size for table in tables)
    return Difference(
        estimate=float(by_example.mean()),
        seed_variances=tuple(float(table.mean(axis=1).var(ddof=1)) for table in tables),
        seeds=tuple(len(table) for table in tables),
        example_variance=float(max(by_example.var(ddof=1) / examples - residual, 0.0)),
        examples=examples,
    )


def _residual(table: np.ndarray) -> float:
    """Mean square of what neither the row nor the column explains, in `[seeds, examples]`."""
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    seeds, examples = table.shape
    total = float(np.square(table, dtype=np.int64).sum()) - table.size * rows.mean() ** 2
    explained = examples * rows.var() * seeds + seeds * columns.var() * examples
    return max(total - float(explained), 0.0) / ((seeds - 1) * (examples - 1))
