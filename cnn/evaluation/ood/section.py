"""Page section on out-of-distribution detection."""

from collections.abc import Sequence

from markupsafe import Markup

from cnn.evaluation.suite import MeasuredRun
from cnn.pages import page
from cnn.pages.page import Cell, Column, sortable_table

NAMES = {"gaussian": "Gaussian noise", "uniform": "uniform noise", "given": "other data"}
SHORT = {"msp": "maximum probability", "energy": "negative energy"}
NOTE = (
    "In percent. AUROC: probability that an image of the split scores above one of the other set; "
    "50 is chance. FPR95: share of the other set that is accepted at a threshold that accepts 95 % "
    "of the split. Scores: maximum softmax probability (Hendrycks & Gimpel, ICLR 2017) and "
    "negative energy at temperature 1 (Liu et al., NeurIPS 2020). The noise is that of ODIN (Liang "
    "et al., ICLR 2018), which is easy to detect; other data is a harder test."
)


def ood_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of runs, sets and scores."""
    columns = [Column("run"), Column("against"), Column("score")]
    columns += [Column(label, numeric=True) for label in ("examples", "AUROC", "FPR95")]
    rows = [
        [
            Cell(run.name),
            Cell(shown, small=run.results["path"] if where == "given" else ""),
            Cell(short),
            Cell(f"{run.results['count']:,}", run.results["count"]),
            *(Cell(f"{100 * found:.2f}", found) for found in run.results[where][score].values()),
        ]
        for run in runs
        for where, shown in NAMES.items()
        for score, short in SHORT.items()
        if where in run.results
    ]
    return page.section("Out-of-distribution detection", sortable_table(columns, rows), note=NOTE)
