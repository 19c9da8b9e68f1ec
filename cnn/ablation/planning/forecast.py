"""What a study will take and what it will be able to tell, before anything of it is trained."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
    """How much the metric is taken to vary between seeds.

    Attributes:
      mean: of the metric.
      sd: over the seeds of one arm.
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
      spread: that is assumed.
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
    spread: Spread
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
    def noise_floor(self) -> float:
        """Standard deviation of one accuracy on the test set."""
        return noise_floor(self.spread.mean, self.examples)

    @property
    def resolvable(self) -> float:
        """Difference that the planned seeds show with 80 % power, at the strictest level."""
        view = planned(0, self.spread.sd, len(self.plan.seeds))
        return resolvable_difference(view, alpha=self._level)

    @property
    def seeds_for_delta(self) -> int | None:
        """Seeds of each arm that show `delta` with 80 % power; None if 10,000 do not."""
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
      UserError: no arm can be trained, or the metric's spread is not known.
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


def _assumed(plan: StudyPlan, accuracy: float, examples: int) -> Spread:
    if plan.metric != "accuracy":
        raise UserError(
            f"--workdir: how much seeds differ in '{plan.metric}' is not known before runs are "
            "finished; give the folder of a study with some"
        )
    source = (
        f"assumed, as nothing is trained yet: an accuracy of {accuracy:.1%}, and between seeds the "
        "spread of the noise floor"
    )
    return Spread(accuracy, noise_floor(accuracy, examples), source)


def _measured(plan: StudyPlan, workdir: Path) -> Spread | None:
    """The pooled spread of the arms with 3 finished runs or more; None without any."""
    means, variances = [], []
    for runs in arms_of(plan, workdir).values():
        results = [RunFolder(run.folder).result() for run in runs]
        values = [r["test"][plan.metric] for r in results if r]
        if len(values) >= 3 and np.isfinite(values).all():
            means.append(np.mean(values))
            variances.append(np.var(values, ddof=1))
    if not variances:
        return None
    source = f"measured on the finished runs of {len(variances)} arms in {workdir}"
    return Spread(float(np.mean(means)), float(np.sqrt(np.mean(variances))), source)
