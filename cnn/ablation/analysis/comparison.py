"""Two arms -> the difference that the verdict rests on, and the same by other methods."""

from dataclasses import dataclass

import numpy as np

from cnn.ablation.analysis.statistics.bootstrap import two_level_bootstrap
from cnn.ablation.analysis.statistics.difference import Difference, crossed, paired, welch
from cnn.ablation.analysis.statistics.significance import mcnemar, sign_flip
from cnn.ablation.analysis.statistics.verdict import FEWEST_SEEDS
from cnn.ablation.analysis.study_results import SeedRun


@dataclass(frozen=True)
class Checks:
    """The same difference by other methods; the verdict does not depend on them.

    Attributes:
      welch_p, sign_flip_p: of the seeds alone; sign flips need paired seeds.
      dunnett_p: of the seeds alone, adjusted over the arms of the network.
      this_test_set: 95 % interval that speaks for new seeds on this test set.
      bootstrap: two-level BCa 95 % interval over seeds and examples.
      mcnemar: of the pairs of networks with the same place in the seed order, how many differ at
        5 % (mid-p), and how many pairs there are.
    """

    welch_p: float
    sign_flip_p: float | None
    dunnett_p: float | None
    this_test_set: tuple[float, float]
    bootstrap: tuple[float, float] | None
    mcnemar: tuple[int, int] | None


@dataclass(frozen=True)
class Pair:
    """The runs of an arm and of its baseline that are compared.

    Attributes:
      arm, baseline: runs; row k of both has the same seed if `by_seed`.
      by_seed: whether the runs are paired.
      metric: the figure that is compared.
    """

    arm: tuple[SeedRun, ...]
    baseline: tuple[SeedRun, ...]
    by_seed: bool
    metric: str

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """The metric of both: float `[seeds]` each."""
        return metric_values(self.arm, self.metric), metric_values(self.baseline, self.metric)

    def outcomes(self) -> tuple[np.ndarray, np.ndarray]:
        """What every run got right, of both: bool `[seeds, examples]` each."""
        return np.stack([r.correct for r in self.arm]), np.stack([r.correct for r in self.baseline])


def metric_values(runs: tuple[SeedRun, ...], metric: str) -> np.ndarray:
    """The metric of each run: float `[runs]`."""
    return np.array([run.metrics[metric] for run in runs], float)


def pair(arm: tuple[SeedRun, ...], baseline: tuple[SeedRun, ...], metric: str) -> Pair:
    """Pairs runs on their common seeds if those are 3 or more, else takes all as independent."""
    mine = {run.seed: run for run in arm}
    theirs = {run.seed: run for run in baseline}
    common = [seed for seed in mine if seed in theirs]
    if len(common) < FEWEST_SEEDS:
        return Pair(arm, baseline, False, metric)
    matched = tuple(mine[s] for s in common), tuple(theirs[s] for s in common)
    return Pair(*matched, True, metric)


def difference(runs: Pair, by_example: bool) -> Difference | None:
    """The difference that the verdict rests on; None with fewer than 3 seeds of either arm.

    Args:
      runs: to compare.
      by_example: whether it speaks for new test examples too; the runs need `correct`.
    """
    if min(len(runs.arm), len(runs.baseline)) < FEWEST_SEEDS:
        return None
    if by_example:
        return crossed(*runs.outcomes(), pair_seeds=runs.by_seed)
    return seeds_alone(runs)


def seeds_alone(runs: Pair) -> Difference:
    """The difference that speaks for new seeds on this test set."""
    return (paired if runs.by_seed else welch)(*runs.values())


def checks(runs: Pair, with_outcomes: bool, dunnett_p: float | None) -> Checks:
    """Repeats the comparison by the methods that the verdict does not use."""
    arm, baseline = runs.values()
    bootstrap = discordant = None
    if with_outcomes:
        outcomes = runs.outcomes()
        bootstrap = two_level_bootstrap(*outcomes, pair_seeds=runs.by_seed)
        p_values = [mcnemar(a, b) for a, b in zip(*outcomes, strict=False)]
        discordant = (sum(p <= 0.05 for p in p_values), len(p_values))
    return Checks(
        welch_p=welch(arm, baseline).p_value(),
        sign_flip_p=sign_flip(arm - baseline) if runs.by_seed else None,
        dunnett_p=dunnett_p,
        this_test_set=seeds_alone(runs).interval(),
        bootstrap=bootstrap,
        mcnemar=discordant,
    )
