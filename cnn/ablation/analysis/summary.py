"""The finished runs of one arm, up to the current analysis, and their mean."""

from dataclasses import dataclass

import numpy as np

from cnn.ablation.analysis.comparison import Sample, sample_of
from cnn.ablation.analysis.pairs import finite
from cnn.ablation.analysis.study_results import Arm, SeedRun, Study
from cnn.ablation.statistics.difference import mean_interval, share_interval


@dataclass(frozen=True)
class Summary:
    """The runs of one arm, up to the current analysis.

    Attributes:
      arm: as given.
      runs: those with a finite metric.
      values: float `[runs]`, the metric.
      mean, low, high: with a 95 % interval over seeds, within [0, 1] for proportions; NaN without
        runs. The interval alone is NaN where no variance can be estimated: one run, or equal values
        without per-example outcomes.
      diverged, crashed: the runs that ended without a finite metric; a finished run whose metric is
        not finite counts as diverged.
    """

    arm: Arm
    runs: tuple[SeedRun, ...]
    values: np.ndarray
    mean: float
    low: float
    high: float
    diverged: tuple[SeedRun, ...]
    crashed: tuple[SeedRun, ...]

    @property
    def ended(self) -> int:
        """How many runs have finished, diverged or crashed."""
        return len(self.runs) + len(self.diverged) + len(self.crashed)


def summary_of(arm: Arm, study: Study, seeds: int | None, with_outcomes: bool) -> Summary:
    """Summarizes the first seeds of an arm; None: all of them."""
    runs, counted = finite(arm, study.metric, seeds), arm.seeds[:seeds]
    lost = [run for run in counted if run.status == "finished" and run not in runs]
    diverged = tuple(run for run in counted if run.status == "diverged" or run in lost)
    one = sample_of(runs, study.metric, with_outcomes)
    return Summary(
        arm,
        runs,
        one.values,
        *_interval(one, study),
        diverged=diverged,
        crashed=tuple(run for run in counted if run.status == "crashed"),
    )


def _interval(one: Sample, study: Study) -> tuple[float, float, float]:
    if not one.runs:
        return (float("nan"),) * 3
    if study.described.unit == "%":
        return share_interval(one.values, one.floor)
    return mean_interval(one.values)
