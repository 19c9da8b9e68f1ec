"""How a tensor is stored in other libraries: axes, shape and channel order, both ways."""

from dataclasses import dataclass
from math import prod

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TensorForm:
    """A rearrangement of elements, exact in both directions.

    Theirs is reshaped to `split`, its axes are transposed to our order and reshaped to `ours`;
    then channels are selected.

    Attributes:
      theirs: shape in the file.
      split: shape of theirs with axes cut apart.
      axes: of `split`, in our order.
      ours: shape here.
      picks: (axis of ours, for each of our channels the index of theirs).
    """

    theirs: Shape
    split: Shape
    axes: tuple[int, ...]
    ours: Shape
    picks: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def bring(self, tensor: np.ndarray) -> np.ndarray:
        """Returns a tensor of the file as it is here."""
        x = tensor.reshape(self.split).transpose(self.axes).reshape(self.ours)
        for axis, indices in self.picks:
            x = x.take(indices, axis)
        return np.ascontiguousarray(x)

    def send(self, tensor: np.ndarray) -> np.ndarray:
        """Returns a tensor of ours as it is in a file: the inverse of `bring`."""
        for axis, indices in reversed(self.picks):
            tensor = tensor.take(np.argsort(indices), axis)
        cut = tuple(self.split[axis] for axis in self.axes)
        x = tensor.reshape(cut).transpose(np.argsort(self.axes)).reshape(self.theirs)
        return np.ascontiguousarray(x)


def same(shape: Shape) -> TensorForm:
    """Returns the form of a tensor that is stored unchanged."""
    return TensorForm(shape, shape, tuple(range(len(shape))), shape)


def kernel_outputs_first(shape: Shape) -> TensorForm:
    """Returns PyTorch's form of a kernel `[*window, in, out]`: `[out, in, *window]`."""
    *window, inputs, outputs = shape
    theirs = (outputs, inputs, *window)
    return TensorForm(theirs, theirs, (*range(2, len(shape)), 1, 0), shape)


def linear_of_1x1(shape: Shape) -> TensorForm:
    """Returns the form of a 1x1 kernel `[1, 1, in, out]` that is a linear map `[out, in]` there."""
    split = kernel_outputs_first(shape)
    return TensorForm(split.theirs[:2], split.split, split.axes, shape)


def conv_of_linear(shape: Shape, grid: int = 1, *, flat: bool = False) -> TensorForm:
    """Returns the form of a linear map after flattening `[grid, grid, C]`, as PyTorch has it.

    Args:
      shape: `[grid * grid * C, out]`.
      grid: positions an axis.
      flat: `[out, C * grid * grid]` instead of a kernel `[out, C, grid, grid]`.
    """
    inputs, outputs = shape
    split = (outputs, inputs // grid**2, grid, grid)
    theirs = (outputs, prod(split[1:])) if flat else split
    return TensorForm(theirs, split, (2, 3, 1, 0), shape)


def depthwise_keras(shape: Shape) -> TensorForm:
    """Returns Keras' form of a depthwise kernel `[*window, 1, C]`: `[*window, C, 1]`."""
    *window, one, channels = shape
    theirs = (*window, channels, one)
    axes = (*range(len(window)), len(window) + 1, len(window))
    return TensorForm(theirs, theirs, axes, shape)
