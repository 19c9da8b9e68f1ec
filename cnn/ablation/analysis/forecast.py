"""Expected duration and statistical power of a study, before anything is trained."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from cnn.ablation.analysis.collect import collect
from cnn.ablation.analysis.comparison import Sample, sample_of
from cnn.ablation.analysis.study_results import Study
from cnn.ablation.planning.factors import factors_of
from cnn.ablation.planning.probe import ArmTime, Probe, probe_arms, same_functions, time_arms
from cnn.ablation.planning.runs import Run, arms_of
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.ablation.statistics.difference import Difference, over_examples, welch
from cnn.ablation.statistics.power import (
    decision_power,
    detectable_difference,
    examples_needed,
    noise_floor,
    planned,
    seeds_needed,
)
from cnn.ablation.statistics.sequential import AnalysisSchedule, spending_levels
from cnn.config.errors import UserError
from cnn.data import Dataset, open_dataset

ALPHA = 0.05
# Where nothing is trained yet: as shares of p (1 - p), the variance of a run's accuracy over seeds
# (per test example), and that of the difference of two arms over examples. In results/pooling the
# arms have 0.16 to 0.41 and 0.14 to 0.22.
SEED_SHARE, EXAMPLE_SHARE = 0.3, 0.2


@dataclass(frozen=True)
class Variability:
    """Assumed variability of the metric.

    Attributes:
      mean: of the metric.
      seed_sd: standard deviation over the seeds of one arm.
      example_sd: standard deviation over test examples of the difference of two arms' mean
        outcomes; 0 where inference is for this test set only.
      source: where these values come from, in words.
    """

    mean: float
    seed_sd: float
    example_sd: float
    source: str


@dataclass(frozen=True)
class Forecast:
    """A study before it is trained.

    Attributes:
      plan: of the study.
      arms: name -> overrides of every arm of every network that is trained.
      repeats: name of every arm that repeats a baseline -> name of the baseline.
      times: of every other arm that can be trained.
      broken: arm -> why it cannot be trained.
      differs: arm -> the factors in which it differs from the baseline of its network.
      same: (arm, other arm, why) of arms that compute the same function.
      workers: processes that train.
      examples: of the test set.
      variability: assumed or measured; None if not known before there are runs.
      delta: the difference that seeds are planned for, in the metric's stored unit.
    """

    plan: StudyPlan
    arms: dict[str, tuple[str, ...]]
    repeats: dict[str, str]
    times: dict[str, ArmTime]
    broken: dict[str, str]
    differs: dict[str, tuple[str, ...]]
    same: list[tuple[str, str, str]]
    workers: int
    examples: int
    variability: Variability | None
    delta: float

    @property
    def comparisons(self) -> int:
        """Arms that are compared with the baseline of their network, but for the A/A control."""
        return len(self.arms) - max(1, len(self.plan.networks)) - len(self.repeats)

    @property
    def runs(self) -> int:
        """Number of runs, without those for tuning."""
        return len(self.arms) * len(self.plan.seeds)

    @property
    def tuning_runs(self) -> int:
        """Number of tuning runs; repeated baselines use the setting of their baseline."""
        each = len(self.plan.settings) * self.plan.tuning_seeds
        return each * (len(self.arms) - len(self.repeats))

    @property
    def seconds(self) -> float:
        """Expected time of the whole study."""
        each = [self.times[self.repeats.get(name, name)] for name in self.arms if self._works(name)]
        training = len(self.plan.seeds) * sum(time.run for time in each)
        tried = len(self.plan.settings) * self.plan.tuning_seeds
        training += tried * sum(time.run for time in self.times.values())
        compiling = sum(time.compile for time in self.times.values())
        return (training + compiling) / self.workers

    def _works(self, name: str) -> bool:
        return self.repeats.get(name, name) in self.times

    @property
    def control_seconds(self) -> float:
        """Share of `seconds` that the repeated baselines take."""
        each = [self.times[of] for of in self.repeats.values() if of in self.times]
        return len(self.plan.seeds) * sum(time.run for time in each) / self.workers

    @property
    def noise_floor(self) -> float:
        """Standard deviation of one accuracy on the test set."""
        return noise_floor(self.variability.mean, self.examples)

    @property
    def detectable(self) -> float:
        """Minimum detectable effect of the planned seeds (80 % power, strictest level)."""
        return detectable_difference(self._view, self.level)

    @property
    def power(self) -> float:
        """Probability of a verdict on `delta`, different or equivalent, with the planned seeds."""
        return decision_power(self._view, self.plan.stored_margin, self.level)

    @cached_property
    def seeds_for_delta(self) -> int | None:
        """Seeds of each arm that show `delta` with 80 % power; None if 10,000 do not."""
        return seeds_needed(self._view, alpha=self.level)

    @cached_property
    def examples_for_delta(self) -> int | None:
        """Test examples on which the planned seeds show `delta` with 80 % power, if any do."""
        return examples_needed(self._view, alpha=self.level) if self._view.examples else None

    @property
    def family_level(self) -> float:
        """The family-wise level at the planned end."""
        analyses = self.plan.analyses
        return spending_levels(AnalysisSchedule(analyses, planned=len(analyses)), ALPHA)[-1]

    @property
    def level(self) -> float:
        """The level of Holm's first step at the planned end."""
        analyses = self.plan.analyses
        schedule = AnalysisSchedule(analyses, planned=len(analyses))
        return spending_levels(schedule, ALPHA / max(1, self.comparisons))[-1]

    @property
    def _view(self) -> Difference:
        known = self.variability
        return planned(
            self.delta,
            known.seed_sd,
            len(self.plan.seeds),
            arms=len(self.arms),
            example_sd=known.example_sd,
            examples=self.examples if known.example_sd else 0,
        )


def forecast(
    plan: StudyPlan, workers: int, delta: float, accuracy: float, workdir: Path | None = None
) -> Forecast:
    """Builds, compiles and times every arm; trains a few steps of each and keeps nothing.

    Args:
      plan: of the study.
      workers: processes that would train.
      delta: difference of the metric to plan seeds for.
      accuracy: that is assumed where no run is finished.
      workdir: of this study or of a pilot, whose finished runs tell how much the metric varies.

    Raises:
      UserError: no arm can be trained, or the folder holds no study.
    """
    first = {name: runs[0] for name, runs in arms_of(plan, workdir or Path()).items()}
    loaded = {name: run.load() for name, run in first.items() if run.arm != plan.aa_arm}
    dataset = open_dataset(next(iter(loaded.values())).config.data)
    examples = len(dataset.test)
    known = measured_variability(plan, workdir) if workdir else None
    probes, broken = probe_arms(loaded, dataset)
    if not probes:
        name, why = next(iter(broken.items()))
        raise UserError(f"arms: none can be trained; '{name}': {why}")
    return Forecast(
        plan=plan,
        arms={name: run.overrides for name, run in first.items()},
        repeats=_repeats(plan, first),
        times=time_arms(probes, dataset),
        broken=broken,
        differs=_differs(plan, first, probes, dataset),
        same=same_functions(probes),
        workers=workers,
        examples=examples,
        variability=known or _assumed(plan, accuracy, examples),
        delta=delta,
    )


def _differs(
    plan: StudyPlan, first: dict[str, Run], probes: dict[str, Probe], dataset: Dataset
) -> dict[str, tuple[str, ...]]:
    found = {
        name: factors_of(probe.config, dataset.input_shape, dataset.num_classes, tuple(plan.tune))
        for name, probe in probes.items()
    }
    baselines = {
        first[name].network: one for name, one in found.items() if first[name].arm == plan.baseline
    }
    return {
        name: one.differing(baselines[first[name].network])
        for name, one in found.items()
        if first[name].network in baselines
    }


def _repeats(plan: StudyPlan, first: dict[str, Run]) -> dict[str, str]:
    baselines = {run.network: name for name, run in first.items() if run.arm == plan.baseline}
    return {name: baselines[r.network] for name, r in first.items() if r.arm == plan.aa_arm}


def _assumed(plan: StudyPlan, accuracy: float, examples: int) -> Variability | None:
    if plan.metric != "accuracy":
        return None
    over = accuracy * (1 - accuracy)
    return Variability(
        accuracy,
        float(np.sqrt(SEED_SHARE * over / examples)),
        float(np.sqrt(EXAMPLE_SHARE * over)) if plan.population == "seeds and examples" else 0.0,
        f"assumed for an accuracy of {accuracy:.1%}, as nothing is trained yet: scaled from "
        "results/pooling; pass --workdir of a pilot study for your own",
    )


def measured_variability(plan: StudyPlan, workdir: Path) -> Variability | None:
    """Estimates the variability from arms with 3 finished runs or more; None without any."""
    folder = StudyFolder(workdir)
    if not folder.file.is_file():
        raise UserError(
            f"--workdir: there is no study in {workdir} to estimate the variance over seeds from"
        )
    if not folder.has_results():
        return None
    by_network = _samples(collect(folder), plan.metric)
    known = [one for samples in by_network for one in samples]
    if not known:
        return None
    by_example = [
        over_examples(welch(a.values, b.values), a.outcomes, b.outcomes, pair_seeds=False)
        for samples in by_network
        for a, b in pairwise(samples)
        if a.outcomes is not None and plan.population == "seeds and examples"
    ]
    over = [view.example_variance * view.examples for view in by_example]
    return Variability(
        float(np.mean([one.values.mean() for one in known])),
        float(np.sqrt(np.mean([max(one.values.var(ddof=1), one.floor) for one in known]))),
        float(np.sqrt(np.mean(over))) if over else 0.0,
        f"measured on the finished runs of {len(known)} arms in {workdir}",
    )


def _samples(study: Study, metric: str) -> list[list[Sample]]:
    """Returns the arms of each network with 3 finite values of the metric or more."""
    found = []
    for network in study.networks:
        samples = []
        for arm in study.of_network(network):
            runs = [run for run in arm.finished if np.isfinite(run.metrics.get(metric, np.nan))]
            if len(runs) >= 3:
                samples.append(sample_of(tuple(runs), metric, metric == "accuracy"))
        found.append(samples)
    return found
