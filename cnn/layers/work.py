"""The operations of an operator or head by itself, beside those of the convolutions inside it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Work:
    """Operations of one image.

    Attributes:
      macs: multiply-accumulates of filters: what a counter of convolutions would count, were the
        operator written as one.
      operations: everything else: comparisons, additions of a mean, powers, exponentials, Fourier
        transforms. None: unknown.
    """

    macs: int | None = 0
    operations: int | None = 0


@dataclass(frozen=True)
class Site:
    """Where an operator stands.

    Attributes:
      before, after: shapes `[*spatial, C]`; of a head, after is `[features]`.
      options: of the operator, the defaults filled in.
    """

    before: Shape
    after: Shape
    options: dict[str, Any]

    @property
    def ndim(self) -> int:
        """The number of spatial axes."""
        return len(self.before) - 1

    @property
    def channels(self) -> int:
        """Of the input."""
        return self.before[-1]

    @property
    def positions(self) -> int:
        """Spatial positions of the input."""
        return math.prod(self.before[:-1])

    def window(self, option: str = "window") -> int:
        """Elements of the window that an option gives the size of."""
        return self.options[option] ** self.ndim


Count = Callable[[Site], Work]


def windowed(factor: int = 1, option: str = "window") -> Count:
    """So many operations per element of a window and output."""
    return lambda s: Work(operations=factor * s.window(option) * math.prod(s.after))


def blurred(s: Site) -> Work:
    """A filter of the option `taps` per output and channel."""
    return Work(macs=s.window("taps") * math.prod(s.after))


def nothing(s: Site) -> Work:
    """What moves or skips elements, or is made of convolutions alone."""
    return Work()


def per_element(factor: int = 1) -> Count:
    """So many operations per element of the input."""
    return lambda s: Work(operations=factor * math.prod(s.before))


def fourier(s: Site) -> Work:
    """A Fourier transform of the input and one back from the output, 5 N log2 N each."""
    sizes = (math.prod(shape[:-1]) for shape in (s.before, s.after))
    return Work(operations=round(s.channels * sum(5 * n * math.log2(max(n, 2)) for n in sizes)))
