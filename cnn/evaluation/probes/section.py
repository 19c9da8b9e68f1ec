"""Page section on a probe."""

from collections.abc import Sequence

from markupsafe import Markup

from cnn.evaluation.suite import MeasuredRun
from cnn.pages import page
from cnn.pages.page import Cell, Column, sortable_table

_NOTE = (
    "Fitted on the pooled features of the training split, without the network's own classifier. "
    "The network's weights may have been trained on these examples and their labels."
)
_COUNTS = {"count": "examples", "train_count": "training examples", "features": "features"}


def probe_section(title: str, accuracy: str, runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of the runs; `accuracy` is its name in the results."""
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
