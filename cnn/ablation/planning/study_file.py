"""Reads a study file, and refuses a study that could not be analyzed."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cnn.ablation.planning.runs import AA_SEEDS, arms_of, folder_name
from cnn.ablation.planning.study_plan import POPULATIONS, StudyPlan, cell_name, check_types
from cnn.config.base import FIELDS
from cnn.config.durations import to_examples
from cnn.config.errors import UserError, did_you_mean
from cnn.config.load import ready_configs
from cnn.config.metric import METRICS, TRAINING
from cnn.config.plugin import load_plugins
from cnn.config.python_file import find_file, import_file, user_errors
from cnn.evaluation.suites import SUITES, chosen

# Bytes: file systems allow 255 for a name, of which suffixes take a part.
_LONGEST_NAME = 200


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
    with user_errors(file):
        module = import_file(file, f"study_{Path(file).stem}")
        plan = module.get_study(argument) if argument else module.get_study()
        if not isinstance(plan, StudyPlan):
            raise UserError(
                f"{file}: get_study() returns {type(plan).__name__}; return a StudyPlan"
            )
        check_types(plan, path)
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
        raise UserError(f"{path}: factors: two arms have the same name; rename a level")
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
    _check_seeds(plan, path)
    for kind, names in (("arms", plan.arms), ("networks", plan.networks)):
        for name in names:
            if not 0 < len(folder_name(name).encode()) <= _LONGEST_NAME:
                raise UserError(
                    f"{path}: {kind}: '{name}' names a folder, so it needs 1 to "
                    f"{_LONGEST_NAME} bytes; rename it"
                )
        if len({folder_name(name).casefold() for name in names}) < len(names):
            raise UserError(
                f"{path}: {kind}: two names differ in case or punctuation alone; rename one"
            )
    _check_metric(plan, path)
    _check_rule(plan, path)
    _check_tuning(plan, path)
    _check_configs(plan, path)


def _check_seeds(plan: StudyPlan, path: str) -> None:
    seeds = set(plan.seeds)
    if len(seeds) < max(3, len(plan.seeds)):
        raise UserError(
            f"{path}: seeds: {list(plan.seeds)} are fewer than 3 or occur twice; give 3 or more "
            "different ones, without which the variance between seeds cannot be distinguished "
            "from a difference between arms"
        )
    again = AA_SEEDS if plan.aa_arm else 0
    control = f"the A/A control adds {AA_SEEDS:,} to each" if again else ""
    allowed = FIELDS["seed"].interval
    for seed in plan.seeds:
        if seed not in allowed or seed + again not in allowed:
            raise UserError(
                f"{path}: seeds: {seed} is out of range; allowed: {allowed.text}"
                f"{control and f', and {control}'}"
            )
    if again and (twice := seeds & {seed + again for seed in seeds}):
        raise UserError(
            f"{path}: seeds: {min(twice)} is a seed of the A/A control as well; {control}, so "
            "choose smaller ones"
        )


def _check_metric(plan: StudyPlan, path: str) -> None:
    measured = {
        metric.name: suite
        for suite, known in SUITES.items()
        for metric in known.metrics
        if metric not in TRAINING
    }
    metric = METRICS.look_up(plan.metric, f"{path}: metric")
    asked = {suite.name for text in plan.suites for suite in chosen(text)}
    if plan.metric in measured and measured[plan.metric] not in asked:
        raise UserError(
            f"{path}: metric: '{plan.metric}' is measured by the suite "
            f"'{measured[plan.metric]}', which suites does not name; add it"
        )
    if metric.higher_is_better is None:
        raise UserError(
            f"{path}: metric: '{plan.metric}' has no preferred direction, so arms cannot be "
            "compared by it"
        )
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
        raise UserError(f"{path}: race: arms can stop only at interim analyses; give looks")
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
    if max(plan.seeds) >= AA_SEEDS:
        raise UserError(f"{path}: seeds: those from {AA_SEEDS:,} on are for controls and tuning")
    for field, values in plan.tune.items():
        if len(set(map(str, values))) < len(values):
            raise UserError(f"{path}: tune: '{field}' has a value twice; leave one out")
    seen: set[str] = set()
    for setting in plan.settings:
        # Loading every combination would take long.
        if not seen.issuperset(setting):
            plan.load((*plan.shared, *plan.arms[plan.baseline], *setting))
            seen.update(setting)
    for name in plan.arms:
        data = plan.load((*plan.shared, *plan.arms[name], *plan.settings[0])).config.data
        held_out = to_examples(data.validation, "data.validation", examples=1_000_000)
        if not (held_out or data.validation_split):
            raise UserError(
                f"{path}: tune: there is no validation split to choose by; set data.validation, "
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
