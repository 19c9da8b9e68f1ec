"""Operation counts of operators and heads, excluding the convolutions that they contain."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Work:
    """Operations per example.

    Attributes:
      macs: multiply-accumulates of filters, as counted for an equivalent convolution.
      operations: everything else: comparisons, additions of a mean, powers, exponentials, Fourier
        transforms. None: unknown.
    """

    macs: int | None = 0
    operations: int | None = 0


@dataclass(frozen=True)
class Site:
    """The shapes and options of an operator or head in a network.

    Attributes:
      before: input shape `[*spatial, C]`.
      after: output shape `[*spatial, C]`; of a head `[features]`.
      options: of the operator, including defaults.
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
        """The number of input channels."""
        return self.before[-1]

    @property
    def positions(self) -> int:
        """The number of spatial positions of the input."""
        return math.prod(self.before[:-1])

    def window(self, option: str = "window") -> int:
        """The number of elements of a window whose size is given by an option."""
        return self.options[option] ** self.ndim


Count = Callable[[Site], Work]


def windowed(factor: int = 1, option: str = "window") -> Count:
    """Counts `factor` operations per output and element of its window."""
    return lambda s: Work(operations=factor * s.window(option) * math.prod(s.after))


def blurred(s: Site) -> Work:
    """Counts a depthwise filter of the option `taps`."""
    return Work(macs=s.window("taps") * math.prod(s.after))


def nothing(s: Site) -> Work:
    """Counts nothing: for operators that move or skip elements, or consist of convolutions."""
    return Work()


def per_element(factor: int = 1) -> Count:
    """Counts `factor` operations per element of the input."""
    return lambda s: Work(operations=factor * math.prod(s.before))


def fourier(s: Site) -> Work:
    """Counts a Fourier transform of the input and an inverse one of the output, 5 N log2 N each."""
    sizes = (math.prod(shape[:-1]) for shape in (s.before, s.after))
    return Work(operations=round(s.channels * sum(5 * n * math.log2(max(n, 2)) for n in sizes)))
