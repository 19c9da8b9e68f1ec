"""Page section on calibration."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from cnn.evaluation.suite import MeasuredRun
from cnn.pages import page
from cnn.pages.charts import Scale, line, mark, plot, rule
from cnn.pages.page import Cell, Column, figure, sortable_table

COLUMNS = {
    "accuracy": ("accuracy", "share of correct predictions"),
    "confidence": ("confidence", "mean maximum softmax probability"),
    "ece": ("ECE", "15 bins of equal width (Guo et al., 2017)"),
    "ece_equal_mass": ("ECE, equal mass", "15 bins of equal numbers of examples"),
    "nll": ("NLL", "mean, in nats"),
    "brier": ("Brier", "mean squared distance to the one-hot label, from 0 to 2"),
}
NOTE = (
    "ECE is the mean gap between confidence and accuracy. The temperature is fitted on the "
    "validation split alone, and does not change predictions."
)


def calibration_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of the runs, and a reliability diagram per run."""
    heads = [Column("run"), Column("temperature", numeric=True)]
    heads += [Column(title, numeric=True, hint=hint) for title, hint in COLUMNS.values()]
    rows, rest, diagrams = [], [], []
    for run in runs:
        rows.append([Cell(run.name), Cell("1", 1.0), *_cells(run.results["as_trained"])])
        after, temperature = run.results["scaled"], run.results["temperature"]
        if after:
            cell = Cell(f"{temperature:.3f}", temperature)
            rows.append([Cell(run.name), cell, *_cells(after)])
        if run.results["why"]:
            rest.append(page.note(f"{run.name}: {run.results['why']}"))
        diagram = reliability_diagram(run.results["as_trained"]["equal_width"])
        diagrams.append(figure(f"Reliability diagram, {run.name}", diagram))
    table = sortable_table(heads, rows)
    return page.section("Calibration", table, *rest, page.pair(*diagrams), note=NOTE)


def _cells(results: dict[str, Any]) -> list[Cell]:
    return [Cell(f"{results[name]:.4f}", results[name]) for name in COLUMNS]


def reliability_diagram(bins: dict[str, list]) -> Markup:
    """Plots accuracy against confidence per bin, with the gap to the diagonal as an error bar."""
    # Room for the axis label above 1.
    scale, up = Scale(0, 1), Scale(0, 1.06)
    marks = [line([(0, 100), (100, 100 - up(1))], "line reference tone3")]
    places = []
    columns = (bins["confidence"], bins["accuracy"], bins["counts"])
    for confidence, accuracy, count in zip(*columns, strict=True):
        if count:
            x, y = scale(confidence), 100 - up(accuracy)
            hint = f"{count:,} examples: confidence {confidence:.3f}, accuracy {accuracy:.3f}"
            places.append((x, y))
            marks += [
                rule(x, y, x, 100 - up(confidence), "whisker tone0"),
                mark("disc", x, y, "tone0", hint),
            ]
    marks.insert(1, line(places, "line tone0"))
    return plot(
        scale,
        up,
        *marks,
        height=300,
        x_format=lambda v: f"{v:g}",
        y_format=lambda v: f"{v:g}",
        x_label="confidence",
        y_label="accuracy",
        description="accuracy by confidence, in bins of equal width",
    )
