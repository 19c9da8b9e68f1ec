"""Page section on accuracy."""

from collections.abc import Sequence

from markupsafe import Markup

from cnn.evaluation.suite import MeasuredRun
from cnn.pages import page
from cnn.pages.page import Cell, Column, details, sortable_table


def accuracy_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of the runs and a table of per-class accuracy."""
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
            Cell(f"{run.results['count']:,}", run.results["count"]),
            *(_cell(run.results.get(name)) for name in ("accuracy", "top5_accuracy", "loss")),
        ]
        for run in runs
    ]
    names = list(dict.fromkeys(n for run in runs for n in run.results["accuracy_per_class"]))
    classes = sortable_table(
        [Column("class"), *(Column(run.name, numeric=True) for run in runs)],
        [
            [Cell(name), *(_cell(run.results["accuracy_per_class"].get(name)) for run in runs)]
            for name in names
        ],
    )
    return page.section(
        "Accuracy", sortable_table(columns, rows), details("Accuracy per class", classes)
    )


def _cell(value: float | None) -> Cell:
    return Cell("none" if value is None else f"{value:.4f}", value)
