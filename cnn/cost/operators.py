"""What each downsampling operator and head does by itself, beside the convolutions inside it."""

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
        transforms.
    """

    macs: int = 0
    operations: int = 0


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

    def fourier(self) -> int:
        """Operations of a transform of the input and one back from the output, 5 N log2 N each."""
        sizes = (math.prod(shape[:-1]) for shape in (self.before, self.after))
        return round(self.channels * sum(5 * n * math.log2(max(n, 2)) for n in sizes))


Count = Callable[[Site], Work]


def _pool(factor: int = 1) -> Count:
    return lambda s: Work(operations=factor * s.window() * math.prod(s.after))


def _blur(s: Site) -> Work:
    return Work(macs=s.window("taps") * math.prod(s.after))


def _max_blur(s: Site) -> Work:
    return Work(_blur(s).macs, s.window() * math.prod(s.before))


def _phase(s: Site) -> Work:
    filtered = s.window("taps") * math.prod(s.before) if s.options["taps"] else 0
    return Work(filtered, math.prod(s.before))


def _tree(s: Site) -> Work:
    filters = 2 ** (s.options["levels"] + 1) - 1
    return Work(macs=filters * s.window() * math.prod(s.after))


def _gated(s: Site) -> Work:
    window = s.window() * math.prod(s.after)
    return Work(macs=window, operations=2 * window)


def _wavelet(s: Site) -> Work:
    taps = {"haar": 2, "db2": 4}[s.options["wavelet"]]
    # One axis after the other: the axes that were filtered already are short.
    strides = [b / a for b, a in zip(s.before[:-1], s.after[:-1], strict=True)]
    outputs = [math.prod(s.before) / math.prod(strides[: i + 1]) for i in range(s.ndim)]
    return Work(macs=round(taps * sum(outputs)))


def _spectral(s: Site) -> Work:
    return Work(operations=s.fourier())


def _fractional(s: Site) -> Work:
    length = s.options["ratio"] + s.options["overlapping"]
    return Work(operations=round(length**s.ndim * math.prod(s.after)))


def _nothing(s: Site) -> Work:
    return Work()


def _positions(s: Site) -> Work:
    return Work(operations=math.prod(s.before))


def _attention(s: Site) -> Work:
    tokens, channels = s.positions + 1, s.channels
    maps = (2 * tokens + 2) * channels**2  # keys and values of all tokens; one query, one output
    return Work(macs=maps + 2 * tokens * channels)


def _simpool(s: Site) -> Work:
    maps = (s.positions + 1) * s.channels**2  # keys of all positions, one query
    return Work(macs=maps + 2 * s.positions * s.channels)


OPERATORS: dict[str, Count] = {
    "max": _pool(),
    "avg": _pool(),
    "median": lambda s: Work(operations=s.window() ** 2 * math.prod(s.after)),
    "lp": _pool(),
    "soft": _pool(2),
    "subsample": _nothing,
    "none": _nothing,
    "dilated": _nothing,
    "strided_conv": _nothing,
    "blur": _blur,
    "conv_blur": _blur,
    "avg_blur": _blur,
    "max_blur": _max_blur,
    "blur_conv": _blur,
    "ddac": lambda s: Work(macs=s.window() * math.prod(s.after)),
    "all_conv": _nothing,
    "conv_pool": lambda s: Work(operations=s.window("pool") * math.prod(s.after)),
    "avg_conv": _pool(),
    "conv_avg": _pool(),
    "gem": _pool(),
    "lip": _pool(2),
    "mixed": _pool(2),
    "gated": _gated,
    "tree": _tree,
    "stochastic": _pool(2),
    "s3": lambda s: Work(operations=s.window() * math.prod(s.before)),
    "fractional": _fractional,
    "aps": _phase,
    "lps": _phase,
    "space_to_depth": _nothing,
    "patch_merging": _nothing,
    "spectral": _spectral,
    "flc": _spectral,
    "asap": _spectral,
    "diff_stride": _spectral,
    "wavelet": _wavelet,
}

HEADS: dict[str, Count] = {
    "avg": _positions,
    "max": _positions,
    "avg_max": lambda s: Work(operations=2 * math.prod(s.before)),
    "cat_avg_max": lambda s: Work(operations=2 * math.prod(s.before)),
    "gem": _positions,
    "lse": _positions,
    "attention": _attention,
    "simpool": _simpool,
    "flatten": _nothing,
}
