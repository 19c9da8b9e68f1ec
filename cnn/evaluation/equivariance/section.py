"""Page section on equivariance."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from cnn.evaluation.suite import MeasuredRun
from cnn.pages import page
from cnn.pages.curves import Curve, curves, legend
from cnn.pages.page import Cell, Column, sortable_table


def equivariance_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of errors at the stride and at worst, and a chart per layer."""
    columns = [
        Column("run"),
        Column("layer"),
        Column("stride", numeric=True),
        Column("at the stride", numeric=True, hint="the map moves by one element"),
        Column("worst", numeric=True, hint="largest mean error of all shifts up to the stride"),
    ]
    rows, remarks = [], []
    for run in runs:
        for name, layer in run.results["layers"].items():
            errors = [e for _, e in layer["error"] if e is not None]
            if errors:
                cells = (Cell(f"{e:.2e}", e) for e in (errors[-1], max(errors)))
                rows.append([Cell(run.name), Cell(name), Cell(layer["stride"]), *cells])
        if run.results["left_out"]:
            names = ", ".join(run.results["left_out"])
            why = f"{run.name}: left out, as their maps do not divide the image: {names}"
            remarks.append(page.note(why))
    note = (
        "Relative distance between a layer's feature map of a shifted image and its shifted "
        "feature map, ||f(T_d x) - T_{d/S} f(x)|| / ||f(x)||, for circular shifts by d pixels "
        "along the diagonal, up to the layer's stride S. Maps are shifted by Fourier "
        f"interpolation. Mean over {min(run.results['count'] for run in runs):,} images."
    )
    charts = page.figure("Error of each layer by shift of the image, in pixels", *_charts(runs))
    table = sortable_table(columns, rows)
    return page.section("Equivariance", table, *remarks, charts, note=note)


def _charts(runs: Sequence[MeasuredRun]) -> Iterator[Markup]:
    """Yields a small chart per layer, with a line per run."""
    if len(runs) > 1:
        yield legend([run.name for run in runs])
    drawn = []
    for name in dict.fromkeys(name for run in runs for name in run.results["layers"]):
        lines = []
        for run in runs:
            found = run.results["layers"].get(name, {"error": []})["error"]
            lines.append(Curve(run.name, [(d, e) for d, e in found if e is not None]))
        if any(one.points for one in lines):
            drawn.append(page.figure(name, _chart(lines)))
    yield page.panels(*drawn)


def _chart(lines: Sequence[Curve]) -> Markup:
    return curves(
        lines,
        x_format=lambda v: f"{v:g}",
        y_format=lambda v: f"{v:.2g}",
        x_label="",
        y_label="",
        height=120,
        named=False,
        description="equivariance error of a layer by shift",
    )
