"""Numbers, units and lists as text: the same in every format of a report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cnn.config.metric import METRICS, Metric

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"  # where there is no number


@dataclass(frozen=True)
class Unit:
    """How values of a metric, and their differences, are written."""

    metric: Metric

    @property
    def title(self) -> str:
        """The metric's name for a heading."""
        return self.metric.label

    @property
    def name(self) -> str:
        """The metric's name within a sentence; abbreviations stay as they are."""
        label = self.metric.label
        return label if label[1:2].isupper() else label[:1].lower() + label[1:]

    @property
    def of_differences(self) -> str:
        """Unit of differences; of percentages, percentage points."""
        return self.metric.difference_unit

    def value(self, value: float) -> str:
        """A value, such as "91.23 %"."""
        bare = self.bare(value)
        return f"{bare} {self.metric.unit}" if self.metric.unit and bare != NONE else bare

    def tick(self, value: float) -> str:
        """A round value on an axis."""
        return f"{self.metric.scale * value:g} {self.metric.unit}".rstrip()

    def bare(self, value: float) -> str:
        """A value without its unit."""
        if not math.isfinite(value):
            return NONE if math.isnan(value) else "∞"
        shown = self.metric.scale * value
        return f"{shown:.2f}" if self.metric.unit == "%" else f"{shown:.4g}"

    def difference(self, value: float, *, unit: bool = True) -> str:
        """A difference with its sign, such as "+0.84 pp"."""
        shown = self.metric.scale * value
        number = f"{shown:+.2f}" if self.metric.unit == "%" else f"{shown:+.3g}"
        number = "+0.00" if number == "-0.00" else number
        if not math.isfinite(value):
            number = "+∞" if value > 0 else "-∞"
        number = number.replace("-", MINUS)
        return f"{number} {self.of_differences}".rstrip() if unit else number

    def size(self, value: float) -> str:
        """A difference without a sign, such as "0.30 pp"."""
        return self.difference(abs(value))[1:]

    def interval(self, ends: tuple[float, float]) -> str:
        """An interval of a difference, without a unit."""
        return " to ".join(self.difference(end, unit=False) for end in ends)


def unit_of(metric: str) -> Unit:
    """The unit that the metric's entry declares; a metric without an entry is a plain number."""
    return Unit(METRICS.get(metric) or Metric(metric, metric, metric))


def p_value(p: float) -> str:
    """A p with two significant digits."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def digits(value: float) -> str:
    """A number with three significant digits, without an exponent."""
    places = 2 - int(f"{value:.2e}".partition("e")[2])
    return f"{round(value, places):.{max(places, 0)}f}"


def magnitude(value: float) -> tuple[float, str]:
    """The power of a thousand to write a number in, and its suffix: 1e6 and "M" of 41,200,000."""
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return size, suffix
    return 1.0, ""


def abbreviated(number: float | None) -> str:
    """A large number with a suffix, such as "41.2 M"; a dash if unknown."""
    if number is None:
        return NONE
    size, suffix = magnitude(number)
    return f"{number / size:.3g} {suffix}".rstrip()


def milliseconds(value: float | None) -> str:
    """A time given in milliseconds, such as "54.5 ms" or "1.08 s"; a dash if unknown."""
    if value is None:
        return NONE
    return f"{digits(value)} ms" if value < 999.5 else f"{digits(value / 1000)} s"


def plural(number: int, noun: str) -> str:
    """ "1 arm", "2 arms"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def full_name(network: str, name: str) -> str:
    """The name of an arm, with its network in a study of several."""
    return f"{network} / {name}" if network else name
