"""A forecast, as people read it."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnn.ablation.planning.forecast import Forecast
from cnn.ablation.planning.probe import REPEATS
from cnn.ablation.report.words import unit_of
from cnn.training.console import format_seconds


def print_forecast(forecast: Forecast, console: Console) -> None:
    """Prints the arms, the time, what can be resolved, and what is wrong with the study."""
    console.print(_table(forecast))
    for sentence in sentences(forecast):
        console.print(sentence, markup=False)
    for sentence in warnings(forecast):
        console.print(f"warning: {sentence}", markup=False)


def _table(forecast: Forecast) -> Table:
    table = Table(title=escape(forecast.plan.name))
    table.add_column("arm")
    table.add_column("overrides", overflow="fold")
    for head in ("compiling", "a step", "a run"):
        table.add_column(head, justify="right")
    for name, overrides in forecast.arms.items():
        own = [text for text in overrides[:-1] if text not in forecast.plan.shared]
        if name in forecast.times:
            time = forecast.times[name]
            seconds = format_seconds(time.compile), f"{1000 * time.step:.1f} ms"
            figures = (*seconds, format_seconds(time.run))
        else:
            figures = ("", "", "cannot be trained" if name in forecast.broken else "")
        table.add_row(escape(name), escape(" ".join(own)), *figures)
    return table


def sentences(forecast: Forecast) -> list[str]:
    """What the study takes and what it can tell."""
    plan, unit = forecast.plan, unit_of(forecast.plan.metric)
    seeds, spread = len(plan.seeds), forecast.spread
    needed = forecast.seeds_for_delta
    wanted = "no number of seeds shows it" if needed is None else f"{needed} seeds an arm"
    told = [
        f"{len(forecast.arms)} arms x {seeds} seeds = {forecast.runs} runs; expected time "
        f"{format_seconds(forecast.seconds)} in {forecast.workers} processes, from {REPEATS} steps "
        "of each arm, taken one process at a time; compiling counts once an arm, checkpoints and "
        "starting processes not at all",
        f"spread between seeds: {unit.size(spread.sd)} (sd), {spread.source}",
        f"{seeds} seeds resolve a difference of {unit.size(forecast.resolvable)} with 80 % power, "
        f"at the level 0.05/{forecast.comparisons} that Holm's first step asks for",
        f"a difference of {unit.size(forecast.delta)} takes: {wanted}",
    ]
    if plan.metric == "accuracy":
        floor = (
            f"noise floor sqrt(p (1 - p) / n) of one accuracy near {spread.mean:.1%} on "
            f"{forecast.examples:,} test examples: {unit.size(forecast.noise_floor)}"
        )
        told.insert(1, floor)
    return told


def warnings(forecast: Forecast) -> list[str]:
    """What is wrong with the study."""
    told = [f"arm '{name}' cannot be trained: {why}" for name, why in forecast.broken.items()]
    told += [
        f"arms '{one}' and '{other}' are the same function: {why}"
        for one, other, why in forecast.same
    ]
    unit = unit_of(forecast.plan.metric)
    if forecast.resolvable > forecast.delta:
        told.append(
            f"{len(forecast.plan.seeds)} seeds are too few for a difference of "
            f"{unit.size(forecast.delta)}: it will often come out undecided"
        )
    return told
