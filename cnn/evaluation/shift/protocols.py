"""Published protocols of shift consistency: the shifts of each image, and how they are made."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from jax import Array

from cnn.config.errors import UserError
from cnn.evaluation.shift.moves import crop, fourier_shift, roll

SEED = 0
PASSES = 5  # Zhang's validate_shift passes over the validation set


@dataclass(frozen=True)
class Protocol:
    """A set of shifts for every image.

    Attributes:
      kind: "pairs" of random shifts, a "grid" of shifts, or a "path" of neighbouring shifts.
      move: traceable (images, offsets `[B, 2]`) -> shifted images.
      offsets: (examples before this batch, B) -> `[S, B, 2]`; for pairs, offsets 2 p and 2 p + 1
        form a pair.
      about: description for the page.
      shared: whether the images of a batch share their random shifts.
      grid: shifts `[S, 2]` in pixels of a grid or path.
      domain: all offsets `[D, 2]` that `offsets` can return, for pairs.
    """

    kind: str
    move: Callable[[Array, Array], Array]
    offsets: Callable[[int, int], np.ndarray]
    about: str
    shared: bool = False
    grid: np.ndarray | None = None
    domain: np.ndarray | None = None

    @property
    def same_for_all(self) -> bool:
        """Whether the images of a batch get the same shifts."""
        return self.shared or self.grid is not None

    def shifts(self) -> np.ndarray:
        """Returns all offsets that an image can be shifted by, `[D, 2]`."""
        return self.domain if self.grid is None else self.grid


def circular_pairs(max_shift: int, *, shared: bool, passes: int = PASSES) -> Protocol:
    """Circular consistency of Chaman & Dokmanic (CVPR 2021).

    Compares two independent circular shifts, uniform over -max_shift .. max_shift - 1 on each axis.
    The upper end is excluded as in the authors' code, which uses max_shift = 3 for CIFAR-10 and
    draws the shifts once per batch (`shared`).
    """
    whose = "drawn once per batch, as published" if shared else "drawn for each image"
    span = f"-{max_shift} to {max_shift - 1} pixels"
    about = f"two circular shifts of {span}, {whose}; {passes} passes"
    offsets = partial(_pairs, -max_shift, max_shift, shared, passes)
    axis = np.arange(-max_shift, max_shift)
    return Protocol("pairs", roll, offsets, about, shared=shared, domain=square(axis, axis))


def crop_pairs(image: tuple[int, int], cut: int, *, shared: bool, passes: int = PASSES) -> Protocol:
    """Shift consistency of Zhang (ICML 2019).

    Compares the predicted classes of two crops of `image` minus `cut` pixels, whose corners are
    uniform over 0 .. cut - 1 on both axes, over several passes. For ImageNet the paper uses
    cut = 32, crops of 224 out of 256 pixels, and 5 passes; the authors' code draws the corners once
    per batch (`shared`).

    Raises:
      UserError: the crops would be empty.
    """
    move = _cropping(image, cut)
    whose = "drawn once per batch, as in the published code" if shared else "drawn for each image"
    size = f"{image[0] - cut}x{image[1] - cut}"
    about = f"two crops of {size} at corners of 0 to {cut - 1} pixels, {whose}; {passes} passes"
    offsets, axis = partial(_pairs, 0, cut, shared, passes), np.arange(cut)
    return Protocol("pairs", move, offsets, about, shared=shared, domain=square(axis, axis))


def circular_grid(shifts: np.ndarray, about: str) -> Protocol:
    """Applies the circular shifts int `[S, 2]` to every image."""
    return Protocol("grid", roll, partial(same_shifts, shifts.astype(np.int32)), about, grid=shifts)


def fractional_grid(parts: int) -> Protocol:
    """Applies all circular shifts below one pixel by multiples of 1 / parts, on both axes.

    Shifts use trigonometric interpolation, as in Michaeli et al. (CVPR 2023).
    """
    values = np.arange(parts) / parts
    shifts = square(values, values)
    about = f"circular shifts by multiples of 1/{parts} pixel on both axes, Fourier interpolation"
    offsets = partial(same_shifts, shifts.astype(np.float32))
    return Protocol("grid", fourier_shift, offsets, about, grid=shifts)


def diagonal(image: tuple[int, int], cut: int) -> Protocol:
    """Applies the cut + 1 crops with corners on the diagonal (33 in Zhang's validate_diagonal).

    Raises:
      UserError: the crops would be empty.
    """
    shifts = np.repeat(np.arange(cut + 1)[:, None], 2, 1)
    about = f"{cut + 1} crops of {image[0] - cut}x{image[1] - cut} along the diagonal"
    offsets = partial(same_shifts, shifts.astype(np.int32))
    return Protocol("path", _cropping(image, cut), offsets, about, grid=shifts)


def square(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns all pairs `[S, 2]` of a row and a column, in row-major order."""
    return np.array(list(product(rows, columns)))


def _cropping(image: tuple[int, int], cut: int) -> Callable[[Array, Array], Array]:
    if cut < 1 or cut >= min(image):
        raise UserError(
            f"--suite=shift: images of {image[0]}x{image[1]} pixels cannot be cropped by "
            f"{cut} pixels; use images larger than the shifts"
        )
    return partial(crop, height=image[0] - cut, width=image[1] - cut)


def _pairs(low: int, high: int, shared: bool, passes: int, start: int, rows: int) -> np.ndarray:
    # One random stream per example, so that its shifts do not depend on the batch size.
    owners = [start] if shared else range(start, start + rows)
    drawn = [
        np.random.default_rng((SEED, owner)).integers(low, high, (2 * passes, 2), np.int32)
        for owner in owners
    ]
    return np.broadcast_to(np.stack(drawn, 1), (2 * passes, rows, 2))


def same_shifts(shifts: np.ndarray, start: int, rows: int) -> np.ndarray:
    """Repeats the shifts `[S, 2]` for every row of a batch: `[S, rows, 2]`."""
    return np.broadcast_to(shifts[:, None], (len(shifts), rows, 2))
