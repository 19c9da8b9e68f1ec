"""Two arms -> the difference that the verdict is based on, and robustness checks."""

from dataclasses import dataclass

import numpy as np

from cnn.ablation.analysis.study_results import SeedRun
from cnn.ablation.statistics.bootstrap import two_level_bootstrap
from cnn.ablation.statistics.difference import (
    Difference,
    SeedVariance,
    over_examples,
    paired,
    seed_floor,
    seed_variances,
    welch,
)
from cnn.ablation.statistics.significance import mcnemar, sign_flip


@dataclass(frozen=True)
class Checks:
    """The same comparison by other methods; the verdict does not depend on them.

    Attributes:
      welch_p, sign_flip_p: over seeds only; sign flips need paired seeds.
      dunnett_p: over seeds only, adjusted over the arms of the network.
      this_test_set: 95 % interval for new seeds on this fixed test set.
      bootstrap: two-level BCa 95 % interval over seeds and examples, if examples are independent.
      mcnemar: number of pairs of networks, matched by position in the seed order, that differ at
        5 % (mid-p), and number of pairs.
    """

    welch_p: float
    sign_flip_p: float | None
    dunnett_p: float | None
    this_test_set: tuple[float, float]
    bootstrap: tuple[float, float] | None
    mcnemar: tuple[int, int] | None


@dataclass(frozen=True)
class Sample:
    """The runs of one arm as arrays.

    Attributes:
      runs: each with a finite metric.
      values: float `[runs]`, the metric.
      outcomes: bool `[runs, examples]`, whether each prediction is correct; None unless the metric
        is their mean.
    """

    runs: tuple[SeedRun, ...]
    values: np.ndarray
    outcomes: np.ndarray | None

    @property
    def floor(self) -> float:
        """Lower bound on the variance over seeds; see `seed_floor`."""
        known = self.outcomes is not None and len(self.runs) > 1
        return seed_floor(self.outcomes) if known else 0.0


def sample_of(runs: tuple[SeedRun, ...], metric: str, with_outcomes: bool) -> Sample:
    """Returns the runs of an arm as arrays."""
    values = np.array([run.metrics[metric] for run in runs], float)
    known = with_outcomes and runs
    return Sample(runs, values, np.stack([run.correct for run in runs]) if known else None)


def variances_of(samples: dict[str, Sample]) -> dict[str, SeedVariance]:
    """The variance over seeds of every arm with 2 runs or more; see `seed_variances`."""
    known = {name: one for name, one in samples.items() if len(one.runs) > 1}
    found = seed_variances([s.values for s in known.values()], [s.floor for s in known.values()])
    return dict(zip(known, found, strict=True))


@dataclass(frozen=True)
class Pair:
    """An arm with its baseline.

    Attributes:
      arm, baseline: their runs; row k of both has the same seed if `by_seed`.
      variances: over seeds, of both.
      by_seed: whether the runs are paired.
    """

    arm: Sample
    baseline: Sample
    variances: tuple[SeedVariance, SeedVariance]
    by_seed: bool

    @property
    def floor(self) -> float:
        """Lower bound on the variance of the difference of a pair of seeds."""
        if self.arm.outcomes is None:
            return 0.0
        return seed_floor(self.arm.outcomes.astype(np.int8) - self.baseline.outcomes)

    def over_seeds(self) -> Difference:
        """The difference, for new seeds on this fixed test set."""
        arm, baseline = self.arm.values, self.baseline.values
        if self.by_seed:
            return paired(arm, baseline, self.floor)
        return welch(arm, baseline, self.variances)

    def difference(self, by_example: bool, units: np.ndarray | None = None) -> Difference:
        """The difference that the verdict is based on.

        Args:
          by_example: whether inference is for new test examples as well; needs the outcomes.
          units: of the examples; see `over_examples`.
        """
        found = self.over_seeds()
        if not by_example:
            return found
        tables = self.arm.outcomes, self.baseline.outcomes
        return over_examples(found, *tables, pair_seeds=self.by_seed, units=units)


def same_seeds(arm: Sample, baseline: Sample) -> bool:
    """Whether two arms have exactly the same seeds, in the same order."""
    return [run.seed for run in arm.runs] == [run.seed for run in baseline.runs]


def checks(runs: Pair, dunnett_p: float | None, clustered: bool) -> Checks:
    """Repeats the comparison by methods that the verdict does not use."""
    arm, baseline = runs.arm.values, runs.baseline.values
    bootstrap = discordant = None
    if runs.arm.outcomes is not None:
        outcomes = runs.arm.outcomes, runs.baseline.outcomes
        if not clustered:
            bootstrap = two_level_bootstrap(*outcomes, pair_seeds=runs.by_seed)
        p_values = [mcnemar(a, b) for a, b in zip(*outcomes, strict=False)]
        discordant = (sum(p <= 0.05 for p in p_values), len(p_values))
    return Checks(
        welch_p=welch(arm, baseline).p_value(),
        sign_flip_p=sign_flip(arm - baseline) if runs.by_seed else None,
        dunnett_p=dunnett_p,
        this_test_set=runs.over_seeds().interval(),
        bootstrap=bootstrap,
        mcnemar=discordant,
    )
