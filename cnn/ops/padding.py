"""Padding modes: resolves a name or explicit pairs to amounts per side and padding values."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError, did_you_mean

Size = int | Sequence[int]
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class FilledPads:
    """Explicit padding with a choice of values.

    Attributes:
      pairs: (before, after) per axis.
      values: mode of `jnp.pad`: constant, wrap or reflect.
    """

    pairs: Pairs
    values: str


Padding = str | Sequence[tuple[int, int]] | FilledPads

MODES = ("SAME", "VALID", "torch", "CIRCULAR", "REFLECT")
_VERBS = {"wrap": "wrapped around", "reflect": "reflected"}
VALUES = {"CIRCULAR": "wrap", "REFLECT": "reflect"}


@dataclass(frozen=True)
class Window:
    """A sliding window over the spatial axes.

    Attributes:
      size: per axis.
      strides: per axis.
      pads: (before, after) per axis.
      values: mode of `jnp.pad`: constant, wrap or reflect.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    pads: Pairs
    values: str

    def padded(self, x: Array, constant: float = 0.0) -> Array:
        """Pads `[B, *spatial, C]`; `constant` is the value if `values` is "constant"."""
        if not any(map(any, self.pads)):
            return x
        widths = ((0, 0), *self.pads, (0, 0))
        if self.values == "constant":
            return jnp.pad(x, widths, constant_values=jnp.asarray(constant, x.dtype))
        return jnp.pad(x, widths, mode=self.values)


def per_axis(value: Size, ndim: int, name: str) -> tuple[int, ...]:
    """Returns one positive integer per axis.

    Raises:
      UserError: the number of values is not `ndim`, or a value is below 1.
    """
    values = (value,) * ndim if isinstance(value, int) else tuple(value)
    if len(values) != ndim or min(values) < 1:
        raise UserError(f"{name}: {value} does not fit {ndim} spatial axes; use positive integers")
    return values


def make_window(x: Array, window: Size, strides: Size, padding: Padding) -> Window:
    """Resolves a window for `x` `[B, *spatial, C]`.

    Padding modes, for an axis of n elements, window k and stride s:

    * `VALID`: no padding.
    * `SAME`: as in XLA: ceil(n / s) outputs, with the odd element after.
    * `torch`: (k - 1) // 2 on both sides, PyTorch's `padding=k//2` for odd k and 0 for k = 2. At
      stride 2 and even n it samples different positions from SAME.
    * `CIRCULAR`, `REFLECT`: the same amounts as SAME, with values wrapped around from the opposite
      side, or reflected without repeating the edge.
    * one (before, after) pair per axis: zeros, or the operator's neutral element. `FilledPads`
      selects other values.

    Raises:
      UserError: the mode is unknown, the window is larger than the padded input, or the input is
        too small to wrap or reflect.
    """
    spatial = x.shape[1:-1]
    size = per_axis(window, len(spatial), "window")
    steps = per_axis(strides, len(spatial), "strides")
    if isinstance(padding, str):
        pads = _named_pads(padding, size, steps, spatial)
        values = VALUES.get(padding, "constant")
    else:
        if not isinstance(padding, FilledPads):
            padding = FilledPads(tuple(padding), "constant")
        pads, values = tuple((int(a), int(b)) for a, b in padding.pairs), padding.values
        if len(pads) != len(spatial) or min(map(min, pads)) < 0:
            raise UserError(
                f"padding: {padding} does not fit {len(spatial)} spatial axes; "
                "give a non-negative (before, after) for each"
            )
    for n, k, (before, after) in zip(spatial, size, pads, strict=True):
        if k > n + before + after:
            raise UserError(
                f"window: {size} is larger than the input {spatial} with padding {pads}; "
                "use a smaller window, fewer stages or larger images"
            )
        limit = {"wrap": n, "reflect": n - 1}.get(values, before + after)
        if max(before, after) > limit:
            raise UserError(
                f"padding: {max(before, after)} elements cannot be {_VERBS[values]} for a window "
                f"{size}, which needs an input larger than {spatial}; use larger images, fewer "
                "stages or zero padding"
            )
    return Window(size, steps, pads, values)


def _named_pads(
    mode: str, size: tuple[int, ...], strides: tuple[int, ...], spatial: tuple[int, ...]
) -> Pairs:
    if mode not in MODES:
        raise UserError(f"padding: unknown mode '{mode}': {did_you_mean(mode, MODES)}")
    if mode == "VALID":
        return ((0, 0),) * len(spatial)
    if mode == "torch":
        return tuple(((k - 1) // 2, (k - 1) // 2) for k in size)
    totals = [
        max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(spatial, size, strides, strict=True)
    ]
    return tuple((total // 2, total - total // 2) for total in totals)


def make_pool(x: Array, window: Size, strides: Size, padding: Padding) -> Window:
    """`make_window` for operators that exclude padding, so each window must overlap the input.

    Raises:
      UserError: as in `make_window`, or constant padding is at least as large as the window.
    """
    found = make_window(x, window, strides, padding)
    if found.values == "constant" and any(
        k <= max(pads) for k, pads in zip(found.size, found.pads, strict=True)
    ):
        raise UserError(
            f"padding: {found.pads} is as large as the window {found.size}, so some windows "
            "contain only padding; use less padding"
        )
    return found
