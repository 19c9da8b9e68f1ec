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
from cnn.ablation.report.verdict_text import SYMBOLS, verdict_label

WIDE = 100  # characters of a screen that has room for the cost of each arm


def print_report(analysis: Analysis, files: Sequence[Path], console: Console) -> None:
    """Prints the verdicts of a study, its table of arms, and the files of the whole report."""
    console.print(analysis.study.name, style="bold", markup=False)
    for sentence in _sentences(analysis):
        console.print(sentence, markup=False)
    for title, part in cost_groups(analysis):
        if title:
            console.print(title, style="bold", markup=False)
        console.print(_table(part, console.width))
    for note in table_notes(analysis):
        console.print(note, markup=False)
    print_files(files, console)


def print_files(files: Sequence[Path], console: Console) -> None:
    """Prints the paths of files, each whole on its line."""
    for file in files:
        console.print(str(file), markup=False, soft_wrap=True)


def _sentences(analysis: Analysis) -> list[str]:
    limits = [f"{title} {text}" for _, title, text in remarks(analysis)]
    verdicts = [f"{SYMBOLS[kind]} {text}" for kind, text in headline(analysis)]
    failed = [f"failed: {text}" for text in failure_sentences(analysis)]
    control = control_note(analysis)
    return [*limits, *verdicts, *failed, *([control] if control else [])]


def _table(analysis: Analysis, width: int) -> Table:
    """The arms, with their cost where the screen is wide enough for it."""
    table, wide = Table(box=box.SIMPLE_HEAD), width >= WIDE
    table.add_column("arm", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    numbers = ("difference, 95 % CI", unit_of(analysis.study.metric).name, "seeds")
    for head in numbers + (("params", "MACs", "step time") if wide else ()):
        table.add_column(head, justify="right", no_wrap=True)
    for row, kind in zip(arm_rows(analysis), _kinds(analysis), strict=True):
        cost = (row.params, row.macs, row.step) if wide else ()
        cells = (row.name, kind, row.difference, row.mean, row.seeds, *cost)
        table.add_row(*map(escape, cells))
    return table


def _kinds(analysis: Analysis) -> list[str]:
    compared = analysis.comparisons
    return [
        verdict_label(compared[key].verdict.kind) if key in compared else "baseline"
        for key in analysis.summaries
    ]
