"""A forecast in words."""

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnn.ablation.analysis.forecast import Forecast
from cnn.ablation.planning.probe import REPEATS
from cnn.ablation.report.formatting import listed, plural, unit_of
from cnn.training.console import format_seconds


def print_forecast(forecast: Forecast, console: Console) -> None:
    """Prints the arms, the expected time, the detectable effects, and warnings."""
    console.print(_table(forecast))
    for sentence in sentences(forecast):
        console.print(sentence, markup=False)
    for sentence in warnings(forecast):
        console.print(f"warning: {sentence}", markup=False)


def _table(forecast: Forecast) -> Table:
    table = Table(title=escape(forecast.plan.name))
    table.add_column("arm")
    table.add_column("overrides", overflow="fold")
    for head in ("compilation", "per step", "per run"):
        table.add_column(head, justify="right")
    table.add_column("differs in", overflow="fold")
    for name, overrides in forecast.arms.items():
        own = [text for text in overrides[:-1] if text not in forecast.plan.shared]
        if name in forecast.times:
            time = forecast.times[name]
            seconds = format_seconds(time.compile), f"{1000 * time.step:.1f} ms"
            numbers = (*seconds, format_seconds(time.run))
        else:
            numbers = ("", "", "cannot be trained" if name in forecast.broken else "")
        marks = ", ".join(forecast.differs.get(name, ()))
        table.add_row(escape(name), escape(" ".join(own)), *numbers, marks)
    return table


def sentences(forecast: Forecast) -> list[str]:
    """The expected time of the study, and its power."""
    return [
        *_cost(forecast),
        *(_power(forecast) if forecast.variability else _unknown_power(forecast)),
    ]


def _cost(forecast: Forecast) -> list[str]:
    plan, seeds = forecast.plan, len(forecast.plan.seeds)
    found = [
        f"{len(forecast.arms)} arms x {seeds} seeds = {forecast.runs} runs; expected time "
        f"{format_seconds(forecast.seconds)} with {plural(forecast.workers, 'worker')}, from "
        f"{REPEATS} steps per arm. Estimate includes one compilation per arm, excludes "
        "checkpointing and process start."
    ]
    if forecast.tuning_runs:
        found.append(
            f"Tuning: {plural(len(plan.settings), 'setting')} with "
            f"{plural(plan.tuning_seeds, 'seed')} for every arm are {forecast.tuning_runs} more "
            "runs, included in the time but not in the verdicts."
        )
    if plan.race:
        found.append(
            f"Race: arms decided at {listed([str(n) for n in plan.looks[:-1]])} seeds are not "
            "trained further, so this is an upper bound."
        )
    if plan.suites:
        found.append(f"Running {', '.join(plan.suites)} on every run is not included either.")
    if forecast.repeats:
        found.append(
            f"A/A control: {listed(list(forecast.repeats))} repeats the baseline with other seeds; "
            "a significant difference there would show that something besides the arms varies. It "
            f"costs {len(forecast.repeats) * seeds} runs "
            f"({format_seconds(forecast.control_seconds)}); repeat_baseline=False in the study "
            "file leaves it out."
        )
    return found


def _power(forecast: Forecast) -> list[str]:
    plan, unit, known = forecast.plan, unit_of(forecast.plan.metric), forecast.variability
    seeds, examples = len(plan.seeds), f"{forecast.examples:,} test examples"
    found = []
    if plan.metric == "accuracy":
        found.append(
            f"Noise floor, the standard deviation of one accuracy near {known.mean:.1%} on "
            f"{examples}: {unit.size(forecast.noise_floor)}"
        )
    found.append(f"Standard deviation over seeds: {unit.size(known.seed_sd)} ({known.source})")
    scope = "this fixed test set"
    if known.example_sd:
        error = unit.size(known.example_sd / np.sqrt(forecast.examples))
        found.append(f"Standard error of a difference due to {examples}: {error}, with any seeds")
        scope = "new seeds and new test examples"
    return [
        *found,
        f"Minimum detectable effect with {seeds} seeds: {unit.size(forecast.detectable)} "
        f"(80 % power, {_level(forecast)}; for {scope})",
        f"To detect a difference of {unit.size(forecast.delta)}: {_takes(forecast)}",
        f"With {seeds} seeds the chance of a verdict on it, different or equivalent, is "
        f"{forecast.power:.0%}",
    ]


def _level(forecast: Forecast) -> str:
    """The strictest level of a comparison, and where it comes from."""
    spent = f"alpha = {forecast.family_level:.2g}, what the planned final analysis has of 0.05"
    if forecast.comparisons <= 1:
        return spent
    return (
        f"alpha = {forecast.level:.2g}, the first step of Holm's procedure over "
        f"{forecast.comparisons:,} comparisons of a family with {spent}"
    )


def _takes(forecast: Forecast) -> str:
    if forecast.seeds_for_delta is not None:
        return f"{forecast.seeds_for_delta} seeds per arm"
    if forecast.examples_for_delta is not None:
        return (
            f"limited by {forecast.examples:,} test examples, no number of seeds detects it; about "
            f"{forecast.examples_for_delta:,} examples would, with {len(forecast.plan.seeds)} seeds"
        )
    if not forecast.variability.example_sd:
        return "no number of seeds is enough"
    return (
        f"{forecast.examples:,} test examples are too few for any number of seeds, and "
        f"{plural(len(forecast.plan.seeds), 'seed')} are too few on any test set"
    )


def _unknown_power(forecast: Forecast) -> list[str]:
    return [
        "Minimum detectable effect: n/a, because the standard deviation of "
        f"'{forecast.plan.metric}' over seeds is unknown until runs have finished; --workdir "
        "takes it from a study that has some"
    ]


def warnings(forecast: Forecast) -> list[str]:
    """Problems of the study."""
    found = [f"arm '{name}' cannot be trained: {why}" for name, why in forecast.broken.items()]
    found += [
        f"arms '{one}' and '{other}' are the same function: {why}"
        for one, other, why in forecast.same
    ]
    confounded = [name for name, marks in forecast.differs.items() if len(marks) > 1]
    if confounded:
        found.append(
            f"{listed(confounded)}: confounded, more than one factor may explain a difference from "
            "the baseline; add an arm that differs in one factor only, or use `match`"
        )
    unit = unit_of(forecast.plan.metric)
    if forecast.delta < forecast.plan.stored_margin:
        found.append(
            f"a difference of {unit.size(forecast.delta)} lies below the equivalence margin of "
            f"{unit.size(forecast.plan.stored_margin)}: the study calls it equivalent, however "
            "real it is; plan for a larger one, or lower the margin"
        )
    if forecast.variability and forecast.detectable > forecast.delta:
        found.append(
            f"{len(forecast.plan.seeds)} seeds are too few to detect a difference of "
            f"{unit.size(forecast.delta)}; it will often be undecided"
        )
    return found
