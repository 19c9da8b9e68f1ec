"""Line charts."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cnn.pages.charts import Format, Scale, line, mark, plot, spanning
from cnn.pages.template import macros

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
    description: str = "",
) -> Markup:
    """A line chart; several lines get a legend above it if `named`."""
    values = [point for curve in lines for point in curve.points]
    xs = [x for x, _ in values]
    x = Scale(min(xs), max(xs) + (max(xs) - min(xs) or 1.0) * 0.02)
    y = Scale(*y_range) if y_range else spanning([value for _, value in values])
    marks: list[Markup] = []
    for i, curve in enumerate(lines):
        places = [(x(u), 100 - y(v)) for u, v in curve.points]
        if len(places) == 1:
            marks.append(mark("disc", *places[0], _tone(i)))
        elif places:
            marks.append(line(places, f"line {_tone(i)}"))
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
    names = legend([curve.name for curve in lines]) if named and len(lines) > 1 else Markup()
    return names + drawing


def legend(names: Sequence[str]) -> Markup:
    """A legend of lines, in order."""
    entries = [(line([(0, 50), (100, 50)], f"line {_tone(i)}"), n) for i, n in enumerate(names)]
    return macros("charts.html").legend(entries)


def _tone(i: int) -> str:
    """Class of line i: its tone, and dashes for every second round of the tones."""
    return f"tone{i % TONES}{' reference' if i // TONES % 2 else ''}"
