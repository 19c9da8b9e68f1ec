"""The part of the page about a probe: a table of the runs."""

from collections.abc import Sequence

from markupsafe import Markup

from cnn.evaluation.suite import MeasuredRun
from cnn.pages import page
from cnn.pages.page import Cell, Column, sortable_table

_NOTE = (
    "Fitted on the pooled features of the training split, without the network's own classifier. "
    "Weights that were trained on these examples have seen their labels."
)
_COUNTS = {"count": "examples", "train_count": "training examples", "features": "features"}


def probe_section(title: str, accuracy: str, runs: Sequence[MeasuredRun]) -> Markup:
    """Returns the section of one or more runs; `accuracy` is its name in their results."""
    columns = [Column("run"), Column("accuracy", numeric=True)]
    columns += [Column(name, numeric=True) for name in _COUNTS.values()]
    rows = [
        [
            Cell(run.name),
            Cell(f"{run.results[accuracy]:.4f}", run.results[accuracy]),
            *(Cell(f"{run.results[name]:,}", run.results[name]) for name in _COUNTS),
        ]
        for run in runs
    ]
    return page.section(title, sortable_table(columns, rows), note=_NOTE)
