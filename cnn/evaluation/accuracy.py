"""The figures of a split, as a table for people and one JSON line for programs."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from cnn.config.metric import ACCURACY, LOSS, TOP5_ACCURACY
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.suite import Figures, Measured, Progress
from cnn.pages import page
from cnn.pages.page import Cell, Column, details, sortable_table
from cnn.training.metrics import summarize

METRICS = (ACCURACY, TOP5_ACCURACY, LOSS)


def measure(run: CheckpointedRun, split: str, progress: Progress) -> Figures:
    """Evaluates a checkpoint on every example of a split once; see `metrics.summarize`.

    On a CPU these are training's final figures to the bit.
    """
    return summarize(run.outcomes(split), run.evaluator.dataset.class_names)


def print_figures(figures: dict[str, Any]) -> None:
    """Prints `measure`'s figures, with `step` and `split` beside them, as a table."""
    table = Table(title=f"{figures['split']} split, step {figures['step']}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name in ("count", "accuracy", "top5_accuracy", "loss"):
        if name in figures:
            value = figures[name]
            table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
    table.add_section()
    for name, value in figures["accuracy_per_class"].items():
        table.add_row(name, "no example" if value is None else f"{value:.4f}")
    Console().print(table)


def section(runs: Sequence[Measured]) -> Markup:
    """A table of the runs, and one of the classes."""
    columns = [
        Column("run"),
        Column("examples", numeric=True),
        Column("accuracy", numeric=True),
        Column("top-5", numeric=True),
        Column("loss", numeric=True, hint="mean, in nats"),
    ]
    rows = [
        [
            Cell(run.name),
            Cell(f"{run.figures['count']:,}", run.figures["count"]),
            *(_cell(run.figures.get(name)) for name in ("accuracy", "top5_accuracy", "loss")),
        ]
        for run in runs
    ]
    names = list(dict.fromkeys(n for run in runs for n in run.figures["accuracy_per_class"]))
    classes = sortable_table(
        [Column("class"), *(Column(run.name, numeric=True) for run in runs)],
        [
            [Cell(name), *(_cell(run.figures["accuracy_per_class"].get(name)) for run in runs)]
            for name in names
        ],
    )
    return page.section(
        "Accuracy", sortable_table(columns, rows), details("Accuracy of each class", classes)
    )


def _cell(value: float | None) -> Cell:
    return Cell("none" if value is None else f"{value:.4f}", value)
