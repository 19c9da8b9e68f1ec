"""A forecast, as people read it."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnn.ablation.planning.forecast import Forecast
from cnn.ablation.planning.probe import REPEATS
from cnn.ablation.report.words import listed, plural, unit_of
from cnn.training.console import format_seconds


def print_forecast(forecast: Forecast, console: Console) -> None:
    """Prints the arms, the time, what can be detected, and what is wrong with the study."""
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
    for name, overrides in forecast.arms.items():
        own = [text for text in overrides[:-1] if text not in forecast.plan.shared]
        if name in forecast.times:
            time = forecast.times[name]
            seconds = format_seconds(time.compile), f"{1000 * time.step:.1f} ms"
            numbers = (*seconds, format_seconds(time.run))
        else:
            numbers = ("", "", "cannot be trained" if name in forecast.broken else "")
        table.add_row(escape(name), escape(" ".join(own)), *numbers)
    return table


def sentences(forecast: Forecast) -> list[str]:
    """What the study takes and what it can detect."""
    return [*_cost(forecast), *(_power(forecast) if forecast.spread else _unknown_power(forecast))]


def _cost(forecast: Forecast) -> list[str]:
    plan, seeds = forecast.plan, len(forecast.plan.seeds)
    told = [
        f"{len(forecast.arms)} arms x {seeds} seeds = {forecast.runs} runs; expected time "
        f"{format_seconds(forecast.seconds)} with {plural(forecast.workers, 'worker')}, from "
        f"{REPEATS} steps per arm. Estimate includes one compilation per arm, excludes "
        "checkpointing and process start."
    ]
    if plan.suites:
        told.append(f"Measuring {', '.join(plan.suites)} on every run is not included either.")
    if forecast.repeats:
        told.append(
            f"A/A control: {listed(list(forecast.repeats))} repeats the baseline with other seeds; "
            "a significant difference there would show that something besides the arms varies. It "
            f"costs {len(forecast.repeats) * seeds} runs "
            f"({format_seconds(forecast.control_seconds)}); repeat_baseline=False in the study "
            "file leaves it out."
        )
    return told


def _power(forecast: Forecast) -> list[str]:
    plan, unit, spread = forecast.plan, unit_of(forecast.plan.metric), forecast.spread
    needed = forecast.seeds_for_delta
    wanted = "no number of seeds detects it" if needed is None else f"{needed} seeds per arm"
    told = []
    if plan.metric == "accuracy":
        told.append(
            f"Noise floor, the standard deviation of one accuracy near {spread.mean:.1%} on "
            f"{forecast.examples:,} test examples: {unit.size(forecast.noise_floor)}"
        )
    return [
        *told,
        f"Standard deviation over seeds: {unit.size(spread.sd)} ({spread.source})",
        f"Smallest detectable difference with {len(plan.seeds)} seeds: "
        f"{unit.size(forecast.resolvable)} (80 % power, alpha = 0.05/{forecast.comparisons}, Holm)",
        f"To detect a difference of {unit.size(forecast.delta)}: {wanted}",
    ]


def _unknown_power(forecast: Forecast) -> list[str]:
    return [
        "Smallest detectable difference: n/a, as the standard deviation of "
        f"'{forecast.plan.metric}' over seeds is not known before runs are finished; --workdir "
        "takes it from a study that has some"
    ]


def warnings(forecast: Forecast) -> list[str]:
    """What is wrong with the study."""
    told = [f"arm '{name}' cannot be trained: {why}" for name, why in forecast.broken.items()]
    told += [
        f"arms '{one}' and '{other}' are the same function: {why}"
        for one, other, why in forecast.same
    ]
    unit = unit_of(forecast.plan.metric)
    if forecast.spread and forecast.resolvable > forecast.delta:
        told.append(
            f"{len(forecast.plan.seeds)} seeds are too few to detect a difference of "
            f"{unit.size(forecast.delta)}; it will often be undecided"
        )
    return told
