"""Curves over one pair of axes, and tables drawn as heat maps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cnn.pages.charts import Format, Scale, line, mark, plot, spanning
from cnn.pages.page import Html, breakable, element, join

TONES = 4  # .tone0 to .tone3 of palette.css


@dataclass(frozen=True)
class Curve:
    """One line of a chart: its name, and the values (x, y) in the order of x."""

    name: str
    points: Sequence[tuple[float, float]]


def curves(
    lines: Sequence[Curve],
    *,
    x_format: Format,
    y_format: Format,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    height: int = 220,
    named: bool = True,
    description: str | None = None,
) -> Html:
    """Lines over one pair of axes; several are named above it, where they are to be `named`."""
    values = [point for curve in lines for point in curve.points]
    xs = [x for x, _ in values]
    x = Scale(min(xs), max(xs) + (max(xs) - min(xs) or 1.0) * 0.02)
    y = Scale(*y_range) if y_range else spanning([value for _, value in values])
    marks: list[Html] = []
    for i, curve in enumerate(lines):
        places = [(x(u), 100 - y(v)) for u, v in curve.points]
        if len(places) == 1:
            marks.append(mark("disc", *places[0], _look(i)))
        elif places:
            marks.append(line(places, f"line {_look(i)}"))
    drawing = plot(
        x,
        y,
        *marks,
        height=height,
        x_format=x_format,
        y_format=y_format,
        x_label=x_label,
        y_label=y_label,
        description=description,
    )
    names = legend([curve.name for curve in lines]) if named and len(lines) > 1 else None
    return join([names, drawing])


def legend(names: Sequence[str]) -> Html:
    """Names the lines of charts, in their order."""
    entries = []
    for i, name in enumerate(names):
        stroke = element("svg", line([(0, 50), (100, 50)], f"line {_look(i)}"), height=10)
        entries.append(element("span", stroke, " ", breakable(name)))
    return element("p", *entries, class_="legend")


def _look(i: int) -> str:
    """Class of line i: its tone, and dashes for every second round of the tones."""
    return f"tone{i % TONES}{' reference' if i // TONES % 2 else ''}"


def heat_map(
    columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]], value_format: Format
) -> Html:
    """A table whose cells are the darker the larger their value, from the least to the most."""
    values = [v for _, row in rows for v in row if math.isfinite(v)]
    low, high = min(values), max(values)
    heads = [element("th"), *(element("th", c, scope="col") for c in columns)]
    body = []
    for name, row in rows:
        cells = [element("th", name, scope="row")]
        for value in row:
            share = (value - low) / (high - low) if high > low else 0.5
            cells.append(
                element("td", value_format(value), style=f"--p:{share:.2f}", class_="heat")
            )
        body.append(element("tr", *cells))
    table = element(
        "table",
        element("thead", element("tr", *heads)),
        element("tbody", *body),
        class_="ranks",
    )
    return element("div", table, class_="scroll", tabindex="0")
