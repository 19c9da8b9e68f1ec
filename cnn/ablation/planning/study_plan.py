"""A study file -> the runs it asks for, each with the folder it lives in."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from cnn.ablation.analysis.study_results import POPULATIONS, Population, cell_name
from cnn.config.durations import to_examples
from cnn.config.errors import UserError, did_you_mean
from cnn.config.load import Loaded, load, ready_configs
from cnn.config.metric import METRICS, Metric
from cnn.config.plugin import load_plugins
from cnn.config.python_file import find_file, import_file, mistakes_told
from cnn.evaluation.suites import SUITES, chosen

# What every run measures at its end.
FINAL = ("accuracy", "top5_accuracy", "loss")
# Seeds of the arm that repeats the baseline, and of tuning; far from any that a study lists.
_AA_SEEDS = 1_000_000
_TUNING_SEEDS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study file describes.

    Attributes:
      name: title of the report.
      config: the base config file, with ":arg" if it takes one.
      arms: name -> "field=value" overrides of the base config, one of them the baseline's.
      factors: instead of arms, two factors: name -> level -> overrides, the reference level first.
        Every level of one meets every level of the other in an arm "LEVEL + LEVEL"; the report adds
        main effects and the interaction. The baseline is the arm of both reference levels.
      shared: overrides of every arm, applied before its own.
      networks: name -> overrides, applied between the two; every arm is trained in each network and
        compared with the baseline of its network. {}: one network, the config's.
      baseline: the arm that the others are compared with.
      seeds: of every arm.
      margin: equivalence margin: differences of the metric smaller than this do not matter. In
        percentage points for shares such as the accuracy, else in units of the metric.
      metric: of the test set, an entry of `METRICS`, that decides; its direction is the entry's.
      higher_is_better: direction of the metric, if it is said; it has to be the entry's.
      paired: declares that seed k is one block in all arms (the same streams, say), so that arms
        are compared seed by seed. That costs half of the degrees of freedom, and gains where seeds
        that do well in one arm do well in the others, which is rare.
      population: "seeds and examples": verdicts speak for new seeds and new test examples; "seeds":
        for new seeds on this test set.
      unit: what names the independent unit of a test example, such as its speaker, video or
        patient: a regular expression with one group, searched in the names of the test files. "":
        every example is independent of the others.
      looks: numbers of seeds at which the study is analyzed and may be stopped, the last one the
        planned total; (): it is analyzed once, when all seeds are in.
      tune: field -> values that every arm tries, in all combinations, before the judged seeds are
        trained: the best on the validation part is what the arm is trained with.
      tuning_seeds: how many seeds try each combination, none of which is judged.
      tuned: "NETWORK: ARM" or "ARM" -> overrides that were chosen; a study file leaves it out.
      race: an arm that an interim analysis of `looks` decides takes no further seeds.
      match: "width" or "epochs": what of every arm is changed until its multiply-accumulates are
        those of the baseline; "time": epochs, until their seconds are; see `matching.py`. "":
        nothing.
      matched: "macs", "parameters" or "time": every arm that costs another amount than the baseline
        is trained a second time at the baseline's cost, and the report has a table of each.
      copies: name of such a second arm -> its first; a study file leaves it out.
      suites: what eval.py measures on the test set of every finished run, such as
        "shift(images=1000)"; its metrics, such as "circular_grid, consistency", can decide too.
      plugins: files that are loaded first, beside the study file or with a path from here; see
        `cnn.config.plugin`.
      repeat_baseline: adds an A/A control: an arm that repeats the baseline with other seeds, which
        has to come out as no different.
    """

    name: str
    config: str
    arms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    factors: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    baseline: str = ""
    seeds: Sequence[int]
    margin: float
    shared: Sequence[str] = ()
    networks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    metric: str = "accuracy"
    higher_is_better: bool | None = None
    paired: bool = False
    population: Population = "seeds and examples"
    unit: str = ""
    looks: Sequence[int] = ()
    race: bool = False
    tune: Mapping[str, Sequence[str | float]] = field(default_factory=dict)
    tuning_seeds: int = 1
    tuned: Mapping[str, Sequence[str]] = field(default_factory=dict)
    match: str = ""
    matched: str = ""
    copies: Mapping[str, str] = field(default_factory=dict)
    suites: Sequence[str] = ()
    plugins: Sequence[str] = ()
    repeat_baseline: bool = True

    def load(self, overrides: Sequence[str]) -> Loaded:
        """Returns the config with overrides."""
        return load(self.config, overrides, self.plugins)

    @property
    def aa_arm(self) -> str | None:
        """Name of the arm that repeats the baseline; no other arm has it."""
        name = f"{self.baseline} again"
        while name in self.arms:
            name += " (A/A)"
        return name if self.repeat_baseline else None

    @property
    def described(self) -> Metric:
        """What the metric is."""
        return METRICS[self.metric]

    @property
    def stored_margin(self) -> float:
        """The margin in units of the metric as it is stored."""
        return self.margin / self.described.scale

    @property
    def settings(self) -> list[tuple[str, ...]]:
        """The overrides that every arm tries, one combination each; [] without tuning."""
        each = [[f"{name}={value}" for value in values] for name, values in self.tune.items()]
        return list(product(*each)) if each else []

    @property
    def validated(self) -> str:
        """The metric of the validation part that tuning goes by: that of the study, or accuracy."""
        return self.metric if self.metric in FINAL else "accuracy"

    @property
    def analyses(self) -> tuple[int, ...]:
        """The numbers of seeds at which the study is analyzed."""
        return tuple(self.looks) or (len(self.seeds),)


@dataclass(frozen=True)
class Run:
    """One training of a study.

    Attributes:
      arm: its arm.
      seed: its seed.
      folder: its run folder.
      config: the base config file.
      overrides: shared, of the network, of the arm, and the seed.
      network: its network; "" in a study of one.
      suites: what is measured when it is trained.
      plugins: files that are loaded first.
    """

    arm: str
    seed: int
    folder: Path
    config: str
    overrides: tuple[str, ...]
    network: str = ""
    suites: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    def load(self) -> Loaded:
        """Returns the run's config."""
        return load(self.config, self.overrides, self.plugins)


def load_study(path: str, overrides: Sequence[str] = (), plugins: Sequence[str] = ()) -> StudyPlan:
    """Reads a study file: Python with `get_study() -> StudyPlan`, which may take an argument.

    Args:
      path: "configs/ablations/x.py", or "configs/ablations/x.py:argument".
      overrides: "field=value" texts for every arm, on top of the study's own shared ones.
      plugins: files to load, besides those that the study names.

    Raises:
      UserError: no such file, or one without a study that can be analyzed.
    """
    file, _, argument = path.partition(":")
    file = find_file(file, "--config", ready_configs("configs/ablations"))
    with mistakes_told(file):
        module = import_file(file, f"study_{Path(file).stem}")
        plan = module.get_study(argument) if argument else module.get_study()
    plan = _crossed(plan, path) if plan.factors else plan
    config, colon, of_config = plan.config.partition(":")
    config = find_file(config, f"{path}: config", ready_configs(), beside=file)
    found = [find_file(plugin, f"{path}: plugins", beside=file) for plugin in plan.plugins]
    plan = replace(
        plan,
        config=f"{config}{colon}{of_config}",
        shared=(*plan.shared, *overrides),
        plugins=[str(Path(plugin).absolute()) for plugin in (*found, *plugins)],
    )
    load_plugins(plan.plugins)
    _check_overrides(plan, overrides)
    _check(plan, path)
    return plan


def _crossed(plan: StudyPlan, path: str) -> StudyPlan:
    """Returns the plan with an arm for every combination of the levels of its two factors."""
    if plan.arms or plan.baseline:
        raise UserError(f"{path}: factors: make the arms and the baseline; leave those out")
    levels = list(plan.factors.values())
    if len(levels) != 2 or min(map(len, levels)) < 2:
        raise UserError(f"{path}: factors: give two, each with 2 levels or more")
    arms = {
        cell_name(one, other): (*first, *second)
        for one, first in levels[0].items()
        for other, second in levels[1].items()
    }
    if len(arms) < len(levels[0]) * len(levels[1]):
        raise UserError(f"{path}: factors: two arms are called the same; rename a level")
    return replace(plan, arms=arms, baseline=next(iter(arms)))


def _check_overrides(plan: StudyPlan, overrides: Sequence[str]) -> None:
    given = {text.partition("=")[0] for text in overrides}
    for name, own in (*plan.arms.items(), *plan.networks.items()):
        for changed in given & {text.partition("=")[0] for text in own}:
            raise UserError(
                f"--config.{changed}: '{name}' sets it itself, so it would have no effect there; "
                "leave it out, or change the study file"
            )
    if "seed" in given:
        raise UserError("--config.seed: a study runs every seed that it lists; change its seeds")


def _check(plan: StudyPlan, path: str) -> None:
    for suite in plan.suites:
        chosen(suite, f"{path}: suites")
    if plan.baseline not in plan.arms:
        near = did_you_mean(plan.baseline, plan.arms)
        raise UserError(f"{path}: baseline: unknown arm '{plan.baseline}': {near}")
    if len(set(plan.seeds)) < max(3, len(plan.seeds)):
        raise UserError(
            f"{path}: seeds: {list(plan.seeds)} are fewer than 3 different ones; with fewer the "
            "variance between seeds cannot be distinguished from a difference between arms"
        )
    for kind, names in (("arms", plan.arms), ("networks", plan.networks)):
        if len({folder_name(name).casefold() for name in names}) < len(names):
            raise UserError(
                f"{path}: {kind}: two names differ in case or punctuation alone; rename one"
            )
    _check_metric(plan, path)
    _check_rule(plan, path)
    _check_tuning(plan, path)
    _check_configs(plan, path)


def _check_metric(plan: StudyPlan, path: str) -> None:
    measured = {
        metric.name: suite
        for suite, known in SUITES.items()
        for metric in known.metrics
        if metric.name not in FINAL
    }
    metric = METRICS.look_up(plan.metric, f"{path}: metric")
    asked = {suite.name for text in plan.suites for suite in chosen(text)}
    if plan.metric in measured and measured[plan.metric] not in asked:
        raise UserError(
            f"{path}: metric: '{plan.metric}' is measured by the suite "
            f"'{measured[plan.metric]}', which suites does not name; add it"
        )
    if metric.higher_is_better is None:
        raise UserError(f"{path}: metric: of '{plan.metric}' neither more nor less is better")
    if plan.higher_is_better not in (None, metric.higher_is_better):
        better = "higher" if metric.higher_is_better else "lower"
        raise UserError(
            f"{path}: higher_is_better: {plan.higher_is_better} contradicts the metric: of "
            f"'{plan.metric}' {better} is better; leave it out"
        )


def _check_rule(plan: StudyPlan, path: str) -> None:
    unit = plan.described.difference_unit
    if not (math.isfinite(plan.margin) and plan.margin > 0):
        raise UserError(f"{path}: margin: {plan.margin} is not a positive number of {unit}")
    if plan.stored_margin >= 1 and unit == "pp":
        raise UserError(f"{path}: margin: {plan.margin} pp is more than shares can differ by")
    if plan.population not in POPULATIONS:
        near = did_you_mean(plan.population, POPULATIONS)
        raise UserError(f"{path}: population: unknown '{plan.population}': {near}")
    looks = tuple(plan.looks)
    increasing = all(b > a for a, b in zip((2, *looks), looks, strict=False))
    if looks and not (increasing and looks[-1] == len(plan.seeds)):
        raise UserError(
            f"{path}: looks: {looks} have to begin at 3 seeds or more, increase, and end at the "
            f"{len(plan.seeds)} seeds of the study"
        )
    if plan.race and len(looks) < 2:
        raise UserError(f"{path}: race: arms can stop at planned looks alone; give looks")
    if plan.match and plan.matched:
        raise UserError(f"{path}: matched: trains both, and match the matched arms; leave one out")
    if plan.race and plan.factors:
        raise UserError(f"{path}: race: the effects of factors need the seeds of all arms")
    try:
        groups = re.compile(plan.unit).groups
    except re.error as error:
        raise UserError(f"{path}: unit: '{plan.unit}' is no pattern: {error}") from error
    if plan.unit and groups != 1:
        raise UserError(f"{path}: unit: '{plan.unit}' has {groups} groups; give it one, the name")


def _check_tuning(plan: StudyPlan, path: str) -> None:
    if not plan.tune:
        return
    if plan.tuning_seeds < 1 or not all(plan.tune.values()):
        raise UserError(f"{path}: tune: give at least one value for each field, and tuning_seeds")
    twice = {"model.features", "train.duration"} & set(plan.tune)
    if (plan.match or plan.matched) and twice:
        raise UserError(f"{path}: tune: {twice.pop()} is what arms are matched by; leave it out")
    if max(plan.seeds) >= _AA_SEEDS:
        raise UserError(f"{path}: seeds: those from {_AA_SEEDS:,} on are for controls and tuning")
    for name in plan.arms:
        data = plan.load((*plan.shared, *plan.arms[name], *plan.settings[0])).config.data
        held_out = to_examples(data.validation, "data.validation", examples=1_000_000)
        if not (held_out or data.validation_split):
            raise UserError(
                f"{path}: tune: there is no validation part to choose by; set data.validation, "
                "such as 10%"
            )


def _check_configs(plan: StudyPlan, path: str) -> None:
    data = {}
    for name, runs in arms_of(plan, Path()).items():
        loaded = runs[0].load()
        data[name] = loaded.config.data
    first = next(iter(data))
    for name, section in data.items():
        if section != data[first]:
            raise UserError(
                f"{path}: arms: '{name}' changes the data, so it cannot be compared with "
                f"'{first}'; make it a study of its own"
            )


def folder_name(arm: str) -> str:
    """Returns the name of an arm as a folder is called: letters of any script, and digits."""
    return re.sub(r"[^\w=+-]+", "_", unicodedata.normalize("NFC", arm))


def arms_of(plan: StudyPlan, workdir: Path) -> dict[str, list[Run]]:
    """Returns the runs of every arm of every network, the repeated baseline second."""
    runs = {}
    for network in plan.networks or ("",):
        for name in plan.arms:
            runs[_full_name(network, name)] = _runs(plan, workdir, network, name, 0)
            if name == plan.baseline and plan.aa_arm:
                again = _runs(plan, workdir, network, name, _AA_SEEDS)
                runs[_full_name(network, plan.aa_arm)] = again
    return runs


def arm_overrides(plan: StudyPlan, network: str, arm: str) -> tuple[str, ...]:
    """Returns an arm's own overrides, with those that it was tuned to."""
    return (*plan.arms[arm], *plan.tuned.get(_full_name(network, arm), ()))


def tuning_runs(plan: StudyPlan, workdir: Path) -> dict[str, list[list[Run]]]:
    """Returns the runs of every combination that every arm tries, by the full name of the arm."""
    found = {}
    for network in plan.networks or ("",):
        for arm in plan.arms:
            own = (*plan.shared, *plan.networks.get(network, ()), *plan.arms[arm])
            folder = workdir / "tuning" / folder_name(network) / folder_name(arm)
            found[_full_name(network, arm)] = [
                [
                    Run(
                        arm=f"{arm}, setting {i}",
                        seed=seed,
                        folder=folder / f"setting-{i}" / f"seed-{seed}",
                        config=plan.config,
                        overrides=(*own, *setting, f"seed={seed}"),
                        network=network,
                        plugins=tuple(plan.plugins),
                    )
                    for seed in range(_TUNING_SEEDS, _TUNING_SEEDS + plan.tuning_seeds)
                ]
                for i, setting in enumerate(plan.settings)
            ]
    return found


def _full_name(network: str, arm: str) -> str:
    return f"{network}: {arm}" if network else arm


def _runs(plan: StudyPlan, workdir: Path, network: str, arm: str, first: int) -> list[Run]:
    name = plan.aa_arm if first else arm
    folder = workdir / folder_name(network) / folder_name(name)
    own = (*plan.shared, *plan.networks.get(network, ()), *arm_overrides(plan, network, arm))
    return [
        Run(
            arm=name,
            seed=first + seed,
            folder=folder / f"seed-{first + seed}",
            config=plan.config,
            overrides=(*own, f"seed={first + seed}"),
            network=network,
            suites=tuple(plan.suites),
            plugins=tuple(plan.plugins),
        )
        for seed in plan.seeds
    ]
