"""What a study measured: the one input of the statistics and of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cnn.ablation.planning.study_plan import POPULATIONS, Population
from cnn.ablation.statistics.sequential import AnalysisSchedule
from cnn.config.errors import UserError, did_you_mean
from cnn.config.metric import METRICS, Metric

Status = Literal["finished", "diverged", "crashed", "begun", "not begun"]


@dataclass(frozen=True, eq=False)
class SeedRun:
    """One training run of one arm.

    Attributes:
      seed: of the run; equal seeds pair the runs of two arms.
      run_dir: the run folder, relative to the folder that the report is written to.
      metrics: final test metrics, by name, such as {"accuracy": 0.91}.
      history: curves by name, such as {"validation/accuracy": [(step, value), ...]}.
      correct: bool `[examples]`, whether each prediction is correct; None if not kept.
      status: "finished", "diverged" (its loss was not finite), "crashed" (anything else ended it),
        "begun" or "not begun".
      error: one sentence, when the run diverged or crashed.
      commit: of the code, with "+" for uncommitted changes; "" if not known.
      hardware: that it was trained on; "" if not known.
    """

    seed: int
    run_dir: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    correct: np.ndarray | None = None
    status: Status = "finished"
    error: str = ""
    commit: str = ""
    hardware: str = ""

    @property
    def ended(self) -> bool:
        """Whether it has finished, diverged or crashed."""
        return self.status in ("finished", "diverged", "crashed")


@dataclass(frozen=True, eq=False)
class Arm:
    """One variant: the base config with a few overrides, trained with several seeds.

    Attributes:
      name: unique within its network.
      overrides: "field=value" texts.
      network: the network that the arm belongs to, in a study that spans several; else "".
      params, macs: parameters, and multiply-accumulates per example; None if unknown.
      differs: the factors in which it differs from its baseline, besides the operator under study;
        see `cnn.ablation.planning.factors`.
      step_time_ms: measured time of a training step, in milliseconds.
      seeds: its runs, in planned order.
      copy_of: the arm that this one repeats at the cost of the baseline; "": none.
      stopped: index of the interim analysis that decided it in a race, after which it gets no
        seeds; None: it gets all.
    """

    name: str
    overrides: tuple[str, ...] = ()
    network: str = ""
    params: int | None = None
    macs: int | None = None
    differs: tuple[str, ...] = ()
    step_time_ms: float | None = None
    seeds: tuple[SeedRun, ...] = ()
    copy_of: str = ""
    stopped: int | None = None

    @property
    def confounded(self) -> bool:
        """Whether more than one factor may explain a difference from the baseline."""
        return len(self.differs) > 1

    @property
    def finished(self) -> tuple[SeedRun, ...]:
        """The runs that have a result."""
        return tuple(run for run in self.seeds if run.status == "finished")


@dataclass(frozen=True, eq=False)
class Tuned:
    """The settings that an arm tried on the validation split before its final runs.

    Attributes:
      arm: with its network, in a study of several.
      chosen: "field=value" texts of the best setting.
      tried: every setting with the metric of each tuning seed; None for a seed that failed.
      metric: on the validation split.
    """

    arm: str
    chosen: tuple[str, ...]
    tried: tuple[tuple[tuple[str, ...], tuple[float | None, ...]], ...]
    metric: str


@dataclass(frozen=True, eq=False)
class Study:
    """A study and everything that it measured.

    Attributes:
      name: title of the report.
      config: the study file, as text.
      arms: all of them, in order; a network's baseline among them.
      baseline: name of the arm (of each network) that the others are compared with.
      margin: differences smaller than this, in units of the metric, do not matter; > 0.
      aa_arm: name of the arm that repeats the baseline with other seeds; None without one.
      metric: that arms are compared by, an entry of `METRICS`.
      higher_is_better: direction of the metric.
      paired: whether seed k of all arms is one block, so that arms are compared seed by seed.
      population: scope of inference. "seeds and examples": new seeds and new test examples, if
        every run kept its per-example outcomes and the metric is "accuracy"; "seeds": new seeds on
        this fixed test set.
      unit: pattern of the independent unit of a test example, see `StudyPlan`; "": examples are
        independent.
      units: int `[examples]`, the unit of each test example; None: they are independent.
      schedule: when the study is analyzed; None: once, when all seeds are in.
      race: whether an arm that an analysis decides gets no further seeds.
      tuning: of every arm; () if nothing was tuned.
      factors: two of (name, levels, the reference first), whose combinations are the arms; ()
        without factors.
      registered: SHA-256 of what was registered before training; "" if nothing was.
      changed: changes since the study began, one sentence each.
      base_config: file that every arm starts from.
      match: what arms were matched by, see `StudyPlan`; "": nothing.
      matched: cost at which arms are repeated, see `StudyPlan`; "": none.
      under_load: whether runs trained at the same time, so that step times cannot be compared.
      chance: accuracy of always predicting the most frequent class of the test set; None if its
        classes are not known.
      versions, hardware, commit, command: how to reproduce.
    """

    name: str
    config: str
    arms: tuple[Arm, ...]
    baseline: str
    margin: float
    aa_arm: str | None = None
    metric: str = "accuracy"
    higher_is_better: bool = True
    paired: bool = False
    population: Population = "seeds and examples"
    unit: str = ""
    units: np.ndarray | None = None
    schedule: AnalysisSchedule | None = None
    race: bool = False
    tuning: tuple[Tuned, ...] = ()
    factors: tuple[tuple[str, tuple[str, ...]], ...] = ()
    registered: str = ""
    changed: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    hardware: str = ""
    base_config: str = ""
    match: str = ""
    matched: str = ""
    under_load: bool = False
    chance: float | None = None
    commit: str = ""
    command: str = ""

    def __post_init__(self):
        _check_arms(self)
        if not (np.isfinite(self.margin) and self.margin > 0):
            raise UserError(f"margin: must be a positive number, not {self.margin}")
        if self.population not in POPULATIONS:
            near = did_you_mean(self.population, POPULATIONS)
            raise UserError(f"population: unknown '{self.population}': {near}")

    @property
    def analyses(self) -> AnalysisSchedule:
        """When the study is analyzed."""
        return self.schedule or AnalysisSchedule((max(len(arm.seeds) for arm in self.arms),))

    @property
    def described(self) -> Metric:
        """The metric that decides; one that is not registered is a plain number."""
        plain = Metric(self.metric, self.metric, self.metric)
        return METRICS.get(self.metric, plain)

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks, in order of appearance; ("",) in a study of one."""
        return tuple(dict.fromkeys(arm.network for arm in self.arms))

    def of_network(self, network: str) -> tuple[Arm, ...]:
        """The arms of one network."""
        return tuple(arm for arm in self.arms if arm.network == network)

    def baseline_of(self, network: str) -> Arm:
        """The arm that the others of the network are compared with."""
        return next(arm for arm in self.of_network(network) if arm.name == self.baseline)

    @property
    def unfinished(self) -> int:
        """How many planned runs have not ended."""
        return sum(not run.ended for arm in self.arms for run in arm.seeds)


def _check_arms(study: Study) -> None:
    if not study.arms:
        raise UserError("arms: the study has none; give a baseline and at least one other arm")
    for network in study.networks:
        names = [arm.name for arm in study.of_network(network)]
        where = f" of network '{network}'" if network else ""
        if len(set(names)) < len(names):
            raise UserError(f"arms: two arms{where} have the same name; names must be unique")
        if study.baseline not in names:
            raise UserError(
                f"baseline: unknown arm '{study.baseline}'{where}: "
                f"{did_you_mean(study.baseline, names)}"
            )
    names = {arm.name for arm in study.arms}
    if study.aa_arm is not None and study.aa_arm not in names - {study.baseline}:
        raise UserError(
            f"aa_arm: unknown arm '{study.aa_arm}': "
            f"{did_you_mean(study.aa_arm, names - {study.baseline})}"
        )
    for arm in study.arms:
        seeds = [run.seed for run in arm.seeds]
        if len(set(seeds)) < len(seeds):
            raise UserError(f"seeds: arm '{arm.name}' lists a seed twice: {seeds}")
