"""The report on the screen: verdicts, the table of arms, and where the files are."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.report.formatting import unit_of
from cnn.ablation.report.headline import control_note, failure_sentences, headline
from cnn.ablation.report.matching_text import cost_groups
from cnn.ablation.report.remarks import remarks, table_notes
from cnn.ablation.report.rows import arm_rows
from cnn.ablation.report.verdict_text import MARKS, verdict_label

WIDE = 100  # characters of a screen that has room for the cost of each arm


def print_report(analysis: Analysis, files: Sequence[Path], console: Console) -> None:
    """Prints the verdicts of a study, its table of arms, and the files of the whole report."""
    console.print(analysis.study.name, style="bold", markup=False)
    for sentence in _sentences(analysis):
        console.print(sentence, markup=False)
    for title, part in cost_groups(analysis):
        if title:
            console.print(title, style="bold", markup=False)
        console.print(_fitting_table(part, console))
    for note in table_notes(analysis):
        console.print(note, markup=False)
    print_files(files, console)


def print_files(files: Sequence[Path], console: Console) -> None:
    """Prints the paths of files, each whole on its line."""
    for file in files:
        console.print(str(file), markup=False, soft_wrap=True)


def _sentences(analysis: Analysis) -> list[str]:
    limits = [f"{title} {text}" for _, title, text in remarks(analysis)]
    verdicts = [f"{MARKS[kind].symbol} {text}" for kind, text in headline(analysis)]
    failed = [f"failed: {text}" for text in failure_sentences(analysis)]
    control = control_note(analysis)
    return [*limits, *verdicts, *failed, *([control] if control else [])]


def _fitting_table(analysis: Analysis, console: Console) -> Table:
    """The arms, with intervals below the differences where names would be broken otherwise."""
    wide = console.width >= WIDE
    table = _table(analysis, wide, stacked=False)
    unbounded = console.options.update(width=10 * WIDE)
    fits = console.measure(table, options=unbounded).maximum <= console.width
    return table if fits else _table(analysis, wide, stacked=True)


def _table(analysis: Analysis, wide: bool, *, stacked: bool) -> Table:
    """The arms, with their cost if `wide`, and each interval on a line of its own if `stacked`."""
    table, unit = Table(box=box.SIMPLE_HEAD), unit_of(analysis.study.metric)
    table.add_column("arm", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    difference, metric = "difference, 95 % CI", unit.name
    if stacked:
        difference, metric = difference.replace(", ", ",\n"), unit.metric.short
    costs = ("params", "MACs", "step time") if wide else ()
    for head in (difference, metric, "seeds", *costs):
        table.add_column(head, justify="right", no_wrap=True)
    for row, kind in zip(arm_rows(analysis), _kinds(analysis), strict=True):
        difference = row.difference
        if stacked:
            difference = difference.replace(" (", "\n").rstrip(")")
        cost = (row.params, row.macs, row.step) if wide else ()
        cells = (row.name, kind, difference, row.mean, row.seeds, *cost)
        table.add_row(*map(escape, cells))
    return table


def _kinds(analysis: Analysis) -> list[str]:
    compared = analysis.comparisons
    return [
        verdict_label(compared[key].verdict.kind) if key in compared else "baseline"
        for key in analysis.summaries
    ]
