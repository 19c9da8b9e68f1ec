"""What a study will take and what it will be able to tell, before anything of it is trained."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn.ablation.analysis.collect import metrics_of_run
from cnn.ablation.analysis.statistics.power import (
    noise_floor,
    planned,
    resolvable_difference,
    seeds_needed,
)
from cnn.ablation.planning.probe import ArmTime, probe_arms, same_functions, time_arms
from cnn.ablation.planning.study_plan import Run, StudyPlan, arms_of
from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.training.run_folder import RunFolder

ALPHA = 0.05


@dataclass(frozen=True)
class Spread:
    """How much the metric is assumed to vary over seeds.

    Attributes:
      mean: of the metric.
      sd: standard deviation over the seeds of one arm.
      source: where the two come from, in words.
    """

    mean: float
    sd: float
    source: str


@dataclass(frozen=True)
class Forecast:
    """A study before it is trained.

    Attributes:
      plan: of the study.
      arms: name -> overrides of every arm of every network that is trained.
      repeats: of every arm that repeats a baseline, the name of that.
      times: of every other arm that works.
      broken: arm -> why it cannot be trained.
      same: (arm, other arm, why) of arms that are one function.
      workers: processes that train.
      examples: of the test set.
      spread: that is assumed; None where nothing is known of it.
      delta: the difference that seeds are planned for, as a share.
    """

    plan: StudyPlan
    arms: dict[str, tuple[str, ...]]
    repeats: dict[str, str]
    times: dict[str, ArmTime]
    broken: dict[str, str]
    same: list[tuple[str, str, str]]
    workers: int
    examples: int
    spread: Spread | None
    delta: float

    @property
    def comparisons(self) -> int:
        """Arms that are compared with the baseline of their network, its repetition among them."""
        return len(self.arms) - max(1, len(self.plan.networks))

    @property
    def runs(self) -> int:
        """Trainings in all."""
        return len(self.arms) * len(self.plan.seeds)

    @property
    def seconds(self) -> float:
        """Expected time of the whole study."""
        each = [self.times[self.repeats.get(name, name)] for name in self.arms if self._works(name)]
        training = len(self.plan.seeds) * sum(time.run for time in each)
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
        """Standard deviation of one accuracy on the test set; needs a spread."""
        return noise_floor(self.spread.mean, self.examples)

    @property
    def resolvable(self) -> float:
        """Minimum detectable effect of the planned seeds (80 % power); needs a spread.

        At the level of the first step of Holm's adjustment.
        """
        view = planned(0, self.spread.sd, len(self.plan.seeds))
        return resolvable_difference(view, alpha=self._level)

    @property
    def seeds_for_delta(self) -> int | None:
        """Seeds per arm that detect `delta` with 80 % power, None if 10,000 do not."""
        return seeds_needed(planned(self.delta, self.spread.sd, 3), alpha=self._level)

    @property
    def _level(self) -> float:
        return ALPHA / max(1, self.comparisons)


def forecast(
    plan: StudyPlan, workers: int, delta: float, accuracy: float, workdir: Path | None = None
) -> Forecast:
    """Builds, compiles and times every arm; trains a few steps of each and keeps nothing.

    Args:
      plan: of the study.
      workers: processes that would train.
      delta: difference of the metric to plan seeds for.
      accuracy: that is assumed where no run is finished.
      workdir: of the study, whose finished runs tell how much seeds differ.

    Raises:
      UserError: no arm can be trained.
    """
    first = {name: runs[0] for name, runs in arms_of(plan, workdir or Path()).items()}
    loaded = {name: run.load() for name, run in first.items() if run.arm != plan.aa_arm}
    dataset = open_dataset(next(iter(loaded.values())).config.data)
    examples = len(dataset.test)
    spread = _measured(plan, workdir) if workdir else None
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
        same=same_functions(probes),
        workers=workers,
        examples=examples,
        spread=spread or _assumed(plan, accuracy, examples),
        delta=delta,
    )


def _repeats(plan: StudyPlan, first: dict[str, Run]) -> dict[str, str]:
    baselines = {run.network: name for name, run in first.items() if run.arm == plan.baseline}
    return {name: baselines[r.network] for name, r in first.items() if r.arm == plan.aa_arm}


def _assumed(plan: StudyPlan, accuracy: float, examples: int) -> Spread | None:
    """The noise floor of an accuracy; None for other metrics, of which nothing is known."""
    if plan.metric != "accuracy":
        return None
    source = f"assumed: the noise floor at an accuracy of {accuracy:.1%}, as no run is finished"
    return Spread(accuracy, noise_floor(accuracy, examples), source)


def _measured(plan: StudyPlan, workdir: Path) -> Spread | None:
    """The pooled variance of the arms with 3 finished runs or more; None without any."""
    means, variances = [], []
    for runs in arms_of(plan, workdir).values():
        finished = [(run, result) for run in runs if (result := RunFolder(run.folder).result())]
        found = [metrics_of_run(run, result).get(plan.metric) for run, result in finished]
        values = [value for value in found if value is not None]
        if len(values) >= 3 and np.isfinite(values).all():
            means.append(np.mean(values))
            variances.append(np.var(values, ddof=1))
    if not variances:
        return None
    source = f"measured on the finished runs of {len(variances)} arms in {workdir}"
    return Spread(float(np.mean(means)), float(np.sqrt(np.mean(variances))), source)
