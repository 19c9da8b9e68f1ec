"""Curves over one pair of axes, and tables drawn as heat maps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cnn.evaluation.charts import Format, Scale, caption, line, plot, spanning
from cnn.evaluation.page import Html, element

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
    description: str | None = None,
) -> Html:
    """Lines over one pair of axes, each named where it ends."""
    values = [point for curve in lines for point in curve.points]
    xs = [x for x, _ in values]
    # Room on the right for the names.
    reach = max(xs) - min(xs) or 1.0
    x = Scale(min(xs), max(xs) + reach * (0.25 if len(lines) > 1 else 0.02))
    y = Scale(*y_range) if y_range else spanning([value for _, value in values])
    marks: list[Html] = []
    for i, curve in enumerate(lines):
        places = [(x(u), 100 - y(v)) for u, v in curve.points]
        marks.append(line(places, f"line tone{i % TONES}"))
        if len(lines) > 1:
            marks.append(caption(*places[-1], curve.name, dx=5))
    return plot(
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
