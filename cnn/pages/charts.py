"""SVG charts that stretch with the page while text and marks keep their size.

A plot area spans 0 to 100 percent in both directions. Marks and text are placed in percent; lines
and bands, whose coordinates cannot be percentages, lie in a nested view box that stretches while
its strokes do not. Colours are the tones of page.css, chosen by class.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cnn.pages.template import macros

Format = Callable[[float], str]
SHAPES = {
    "up": "M0,-5.5L5.2,4H-5.2Z",
    "down": "M0,5.5L5.2,-4H-5.2Z",
    "left": "M-5.5,0L4,-5.2V5.2Z",
    "right": "M5.5,0L-4,-5.2V5.2Z",
    "square": "M-4,-4H4V4H-4Z",
    "diamond": "M0,-5.5L5.5,0L0,5.5L-5.5,0Z",
    "disc": "M-4.5,0A4.5,4.5 0 1 0 4.5,0A4.5,4.5 0 1 0 -4.5,0Z",
}


@dataclass(frozen=True)
class Scale:
    """Maps values in [low, high] to 0 to 100 percent, linearly or by their logarithm."""

    low: float
    high: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Returns the position of a value in percent, rounded to screen resolution."""
        low, high, value = (
            (math.log(self.low), math.log(self.high), math.log(value))
            if self.log
            else (self.low, self.high, value)
        )
        return round(100 * (value - low) / (high - low), 2)

    def ticks(self, about: int = 5) -> list[float]:
        """Returns round values within the scale."""
        if self.log:
            return _log_ticks(self.low, self.high, about)
        return linear_ticks(self.low, self.high, about)


def linear_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Returns multiples of 1, 2, 2.5 or 5 times a power of ten within [low, high]."""
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [
            s * 10.0**power
            for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for s in steps
            if low * (1 - 1e-9) <= s * 10.0**power <= high * (1 + 1e-9)
        ]
        if len(ticks) <= about + 2:
            return ticks
    return ticks


def spanning(values: Sequence[float], padding: float = 0.06, *, log: bool = False) -> Scale:
    """Returns a scale over all finite values, with a margin at both ends."""
    finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if log:
        factor = max(high / low, 1.5) ** padding
        return Scale(low / factor, high * factor, log=True)
    room = (high - low) * padding or abs(high) * 0.05 or 1.0
    return Scale(low - room, high + room)


def svg(height: int, *children: Markup, description: str = "") -> Markup:
    """An SVG of full width and `height` pixels.

    `description` is for screen readers; without one the SVG is hidden from them.
    """
    return _charts().svg(height, children, description)


def rule(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line between two positions in percent."""
    return _charts().rule(x1, y1, x2, y2, class_)


def mark(shape: str, x: float, y: float, class_: str, hint: str = "") -> Markup:
    """One of `SHAPES` at a position in percent; `hint` is its tooltip."""
    return _charts().mark(SHAPES[shape], x, y, class_, hint)


def dot(path: str, x: float, y: float, hint: str) -> Markup:
    """A small disc at a position in percent that links to a file or folder."""
    return _charts().dot(path, x, y, hint)


def line(points: Sequence[tuple[float, float]], class_: str = "line") -> Markup:
    """A polyline through positions in percent (y downwards)."""
    return _charts().stretched(_path(points), class_)


def band(
    upper: Sequence[tuple[float, float]],
    lower: Sequence[tuple[float, float]],
    class_: str = "area-band",
) -> Markup:
    """The area between two polylines, in percent (y downwards)."""
    return _charts().stretched(_path([*upper, *reversed(lower)]) + "Z", class_)


def toned(tone: str, *marks: Markup) -> Markup:
    """Marks in the colour of a tone."""
    return _charts().toned(tone, marks)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_short(x)},{_short(y)}" for x, y in points)


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def labelled(scale: Scale, words: Format, about: int) -> list[tuple[float, str]]:
    """The ticks of a scale, as (position in percent, label)."""
    return [(scale(value), words(value)) for value in scale.ticks(about)]


def plot(
    x: Scale,
    y: Scale,
    *marks: Markup,
    height: int,
    x_format: Format,
    y_format: Format,
    x_label: str = "",
    y_label: str = "",
    x_ticks: int = 4,
    y_ticks: int = 4,
    description: str = "",
) -> Markup:
    """Axes with ticks around a plot area of `height` pixels.

    Args:
      x, y: scales; a mark at (u, v) belongs at (x(u), 100 - y(v)) percent.
      *marks: SVG, back to front.
      height: of the area.
      x_format, y_format: of the tick labels.
      x_label, y_label: below and above the axes.
      x_ticks, y_ticks: approximate numbers of ticks.
      description: of the chart, for screen readers.
    """
    ups = labelled(y, y_format, y_ticks)
    grid = [rule(0, 100 - place, 100, 100 - place, "grid") for place, _ in ups]
    drawing = svg(height, *grid, *marks, description=description)
    widest = max((label for _, label in ups), key=len, default="")
    across = labelled(x, x_format, x_ticks)
    return _charts().plot(drawing, across, ups, widest, x_label, y_label)


@dataclass(frozen=True)
class Point:
    """One mark of a scatter plot.

    Attributes:
      label: next to the mark.
      x, y: values.
      low, high: ends of the interval of y.
      shape: one of `SHAPES`.
      tone: class that colours it.
      hint: tooltip.
      named: whether the label is drawn.
    """

    label: str
    x: float
    y: float
    low: float
    high: float
    shape: str
    tone: str
    hint: str
    named: bool = True


def pareto_front(points: Sequence[Point], *, lower_x: bool, higher_y: bool) -> list[Point]:
    """The Pareto front, ordered by x."""
    x_sign, y_sign = (1 if lower_x else -1), (-1 if higher_y else 1)
    front, best = [], math.inf
    for point in sorted(points, key=lambda p: (x_sign * p.x, y_sign * p.y)):
        if y_sign * point.y < best:
            best = y_sign * point.y
            front.append(point)
    return sorted(front, key=lambda p: p.x)


def scatter(
    points: Sequence[Point],
    front: Sequence[Point],
    *,
    x_format: Format,
    y_format: Format,
    x_label: str,
    y_label: str,
    height: int = 300,
    description: str = "",
) -> Markup:
    """Points with intervals, non-overlapping labels and a stepped Pareto front."""
    xs = [p.x for p in points]
    log = min(xs) > 0 and max(xs) / min(xs) > 8
    x = spanning(xs, 0.1, log=log)
    y = spanning([v for p in points for v in (p.y, p.low, p.high)])
    places = [(x(p.x), 100 - y(p.y)) for p in points]
    marks = [_front(front, x, y)] if len(front) > 1 else []
    for point, (left, top) in zip(points, places, strict=True):
        ends = [100 - y(v) for v in (point.low, point.high) if math.isfinite(v)]
        whisker = [rule(left, ends[0], left, ends[1], "whisker")] if len(ends) == 2 else []
        shape = mark(point.shape, left, top, point.tone, point.hint)
        marks.append(toned(point.tone, *whisker, shape))
    marks += _labels(points, places, height)
    return plot(
        x,
        y,
        *marks,
        height=height,
        x_format=x_format,
        y_format=y_format,
        x_label=x_label,
        y_label=y_label,
        x_ticks=5,
        y_ticks=6,
        description=description,
    )


def _front(front: Sequence[Point], x: Scale, y: Scale) -> Markup:
    places = [(x(p.x), 100 - y(p.y)) for p in front]
    steps = [places[0]]
    for place in places[1:]:
        steps += [(place[0], steps[-1][1]), place]
    return line(steps, "front")


def _labels(
    points: Sequence[Point], places: Sequence[tuple[float, float]], height: int, width: int = 330
) -> list[Markup]:
    """Places each label where it overlaps least, at phone width."""
    taken = [(u * width / 100 - 6, v * height / 100 - 6, 12, 12) for u, v in places]
    drawn = []
    for point, (u, v) in zip(points, places, strict=True):
        if not point.named:
            continue
        size = 6.7 * len(point.label)
        options = []
        for rank, (dx, dy, anchor) in enumerate(_AROUND):
            left = u * width / 100 + dx - {"start": 0, "middle": size / 2, "end": size}[anchor]
            box = (left, v * height / 100 + dy - 10, size, 13)
            outside = max(0, -left) + max(0, left + size - width)
            hidden = sum(_overlap(box, other) for other in taken) + 20 * outside + rank
            options.append((hidden, rank, box, (dx, dy, anchor)))
        _, _, box, (dx, dy, anchor) = min(options)
        taken.append(box)
        drawn.append(_charts().caption(u, v, point.label, dx, dy, anchor))
    return drawn


_AROUND = (
    (9, 4, "start"),
    (-9, 4, "end"),
    (0, -11, "middle"),
    (0, 20, "middle"),
    (8, -8, "start"),
    (8, 16, "start"),
    (-8, -8, "end"),
    (-8, 16, "end"),
    (0, -24, "middle"),
    (0, 33, "middle"),
)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(wide, 0) * max(high, 0)


def _charts():
    return macros("charts.html")
