"""Page section on receptive fields."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from cnn.data import SIGNALS
from cnn.evaluation.suite import MeasuredRun, Results, called
from cnn.pages import page
from cnn.pages.curves import Curve, curves
from cnn.pages.page import Cell, Column, details, sortable_table

NOTE = (
    "Theoretical: {unit} from the first to the last that a unit can depend on, along each axis and "
    "away from borders (Araujo et al., Distill 2019). Effective: side of a square, cube or "
    "interval with as many {unit} as have a mean gradient of the last layer's centre unit above "
    "4.55 % of the maximum (Luo et al., NeurIPS 2016). Pictures: the gradient relative to its "
    "maximum over one of the {many}, before training and at the checkpoint."
)


def receptive_field_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of last layers, pictures of effective fields, and tables of all layers."""
    columns = [Column("run"), Column("last layer"), Column("along")]
    unit = " or ".join(dict.fromkeys(SIGNALS[run.signal].unit for run in runs))
    for label, hint in (
        ("theoretical", f"{unit} along that axis"),
        ("before training", f"effective, {unit}"),
        ("after training", f"effective, {unit}"),
        ("paths apart", f"largest distance in {unit} between the centres of summed paths"),
    ):
        columns.append(Column(label, numeric=True, hint=hint))
    each = [(run, names, layers) for run in runs for names, layers in run.results["axes"].items()]
    tables = [
        details(f"Layers of {run.name}, along {names}", _table(run, layers))
        for run, names, layers in each
    ]
    return page.section(
        "Receptive field",
        sortable_table(columns, [_row(*one) for one in each]),
        *(_misaligned(*one) for one in each),
        *map(_pictures, runs),
        *(_curves(run) for run in runs if "along_time" in run.results),
        *tables,
        note=NOTE.format(unit=unit, many=called(runs)),
    )


def _row(run: MeasuredRun, names: str, layers: Sequence[Results]) -> list[Cell]:
    last = [layer for layer in layers if "/" not in layer["layer"]][-1]
    effective = run.results.get("effective", {})
    return [
        Cell(run.name),
        Cell(last["layer"]),
        Cell(names),
        Cell(_whole(run)) if last["whole"] else Cell(_size(run, names, last["size"]), last["size"]),
        *(_number(effective.get(name)) for name in ("before", "after")),
        _number(last["misaligned"]),
    ]


def _whole(run: MeasuredRun) -> str:
    return f"whole {called([run], plural=False)}"


def _size(run: MeasuredRun, names: str, size: int) -> str:
    """Returns a size, with milliseconds along the time axis."""
    if "milliseconds" not in run.results or "time" not in names:
        return str(size)
    first, step = run.results["milliseconds"]
    return f"{size} ({first + (size - 1) * step:.4g} ms)"


def _misaligned(run: MeasuredRun, names: str, layers: Sequence[Results]) -> Markup | None:
    """Returns a remark that names the blocks whose paths have different centres."""
    found = [
        f"{layer['layer']} ({layer['misaligned']:g})"
        for layer in layers
        if layer["misaligned"] and "/" not in layer["layer"]
    ]
    if not found:
        return None
    words = f"{run.name}, along {names}: summed paths have different centres in "
    where = ", ".join(found)
    sentence = f"{words}{where}; distances in {SIGNALS[run.signal].unit}."
    return page.callout("remark", "Misaligned centres.", sentence)


def _number(value: float | None) -> Cell:
    return Cell("" if value is None else f"{value:.4g}", value)


def _pictures(run: MeasuredRun) -> Markup:
    drawn: list[Any] = []
    for name, words in (("before", "before training"), ("after", "after training")):
        path = run.folder / f"{name}.png"
        if "effective" in run.results and path.is_file():
            size = run.results["effective"][name]
            drawn.append(
                page.picture(
                    path,
                    f"effective receptive field of {run.name} {words}",
                    f"{run.name}, {words}: {size:.1f} {SIGNALS[run.signal].unit}",
                )
            )
    if axes := run.results.get("drawn"):
        drawn.append(page.note(f"In the pictures: {axes}."))
    return page.panels(*drawn)


def _curves(run: MeasuredRun) -> Markup:
    """Draws the field along time, before and after training."""
    sides = {"before": "before training", "after": "after training"}
    along = run.results["along_time"]
    lines = [Curve(words, along[name]) for name, words in sides.items() if name in along]
    chart = curves(
        lines,
        x_format=lambda v: f"{v:g}",
        y_format=lambda v: f"{v:g}",
        x_label="milliseconds" if "milliseconds" in run.results else "frame",
        y_label="gradient, as a share of its largest",
        y_range=(0.0, 1.05),
        height=120,
        description=f"effective receptive field of {run.name} along time",
    )
    return page.figure(f"Effective field along time, {run.name}", chart)


def _table(run: MeasuredRun, layers: Sequence[Results]) -> Markup:
    columns = [Column("layer")]
    columns += [
        Column(name, numeric=True)
        for name in ("size", "stride", "padding", "centre of unit 0", "paths apart")
    ]
    names = ("size", "stride", "padding", "centre", "misaligned")
    rows = [
        [
            Cell(layer["layer"]),
            *(
                Cell(_whole(run)) if layer["whole"] and name == "size" else _number(layer[name])
                for name in names
            ),
        ]
        for layer in layers
    ]
    return sortable_table(columns, rows)
