"""The theoretical receptive field of every layer, derived from the network's program."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive

from cnn.config.errors import UserError
from cnn.evaluation.feature_maps import beside, block_path
from cnn.evaluation.receptive_field.dependence import InputRange, Value, follow, range_of_input
from cnn.layers import NORMS, BeforeConv, Conv, Downsample

_layer = Primitive("layer")
_layer.def_abstract_eval(lambda y, x, **_: y)
# Added pixels, so that borders do not matter; a multiple of 1024 keeps the remainders of halving.
_MORE = 4096
AXES = {1: ("time",), 2: ("height", "width"), 3: ("depth", "height", "width")}
_POINTWISE = (nn.Dropout, *(norm for norm in NORMS.values() if isinstance(norm, type)))


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of one layer along one axis, in pixels of the input.

    Attributes:
      layer: path of the module.
      whole: whether it depends on all pixels, or on more than 4000; the rest is None then.
      size: pixels from the first to the last that a unit depends on.
      stride: output stride, pixels between the fields of neighbouring units.
      padding: pixels by which the field of unit 0 extends beyond the image.
      centre: centre of the field of unit 0, -padding + (size - 1) / 2.
      misaligned: largest distance between the centres of summed paths; 0 if they are aligned.
    """

    layer: str
    whole: bool
    size: int | None = None
    stride: float | None = None
    padding: float | None = None
    centre: float | None = None
    misaligned: float | None = None


def receptive_fields(
    model: nn.Module, input_shape: tuple[int, ...], axis: int = 0
) -> tuple[ReceptiveField, ...]:
    """Returns the receptive field of every convolution, operator and block of a network, in order.

    After Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks"
    (Distill, 2019): size, effective stride, effective padding and centre; for several paths, the
    hull and the distance between their centres. The network's program is analysed on an input so
    large that borders do not matter, whose size leaves the image's remainders under halving (SAME
    padding depends on them). A unit depends on the inputs for which its derivative can be non-zero
    in evaluation mode, which excludes the selection of a phase, although that depends on the whole
    image. Gathers by computed indices (`fractional`) and loops count as depending on everything.
    Layers of a frame-wise model see one frame.

    Args:
      model: called as `model(x, train)`.
      input_shape: `[*spatial, C]` of one image, with 1 to 3 spatial axes.
      axis: the spatial axis.

    Raises:
      UserError: there is no such axis.
    """
    if not 0 <= axis < len(input_shape) - 1:
        raise UserError(f"axis: {axis} is not one of the {len(input_shape) - 1} spatial axes")
    length = input_shape[axis] + _MORE
    shape, program = _fitting_program(model, input_shape, axis, length)
    fields: dict[str, ReceptiveField] = {}

    def mark(params: dict[str, Any], operands: Sequence[Value]) -> Value:
        y, x = operands
        if y is None:
            return None
        if params["single"] and x is not None:
            # A window is a single path, however it is lowered.
            y = InputRange(y.low, y.high, x.skew)
        map_ = y.each(lambda a, _: beside(model, a, 1))
        if params["noted"] and map_.low.ndim == len(input_shape) + 1:
            fields[params["name"]] = _field(params["name"], map_, axis + 1, length)
        return y

    follow(program, [range_of_input(shape, axis + 1)], mark)
    return tuple(fields.values())


def fields_of_axes(
    model: nn.Module, input_shape: tuple[int, ...]
) -> dict[str, tuple[ReceptiveField, ...]]:
    """Returns `receptive_fields` along every axis; equal ones are one entry, "height and width"."""
    names = AXES[len(input_shape) - 1]
    found: dict[tuple[ReceptiveField, ...], list[str]] = {}
    for axis, name in enumerate(names):
        found.setdefault(receptive_fields(model, input_shape, axis), []).append(name)
    return {" and ".join(axes): fields for fields, axes in found.items()}


def _fitting_program(
    model: nn.Module, input_shape: tuple[int, ...], axis: int, length: int
) -> tuple[tuple[int, ...], Any]:
    """Returns an input shape, long along an axis and minimal along the others, and its program."""
    for size in (1, 32):
        spatial = [min(n, size) if i != axis else length for i, n in enumerate(input_shape[:-1])]
        shape = (1, *spatial, input_shape[-1])
        try:
            return shape, _program(model, shape)
        except UserError:
            # A window is larger than the input.
            continue
    spatial = [n if i != axis else length for i, n in enumerate(input_shape[:-1])]
    shape = (1, *spatial, input_shape[-1])
    return shape, _program(model, shape)


def _program(model: nn.Module, shape: tuple[int, ...]) -> Any:
    """Returns the jaxpr of the network, including initialisation, with marked layers."""
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}

    def note(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        result, path = call(*args, **kwargs), block_path(model, context.module.path)
        single = isinstance(context.module, Conv | Downsample | BeforeConv)
        noted = single or (len(path) == 1 and not isinstance(context.module, _POINTWISE))
        if context.method_name != "__call__" or not path or not args:
            return result
        leaves, tree = jax.tree.flatten(result)
        if not hasattr(args[0], "shape") or not leaves:
            return result
        options = dict(name="/".join(path), single=single, noted=noted)
        leaves[0] = _layer.bind(leaves[0], args[0], **options)
        return jax.tree.unflatten(tree, leaves)

    def run(image: jax.Array) -> jax.Array:
        with nn.intercept_methods(note):
            return model.init_with_output(rngs, image, False)[0]

    return jax.make_jaxpr(run)(image).jaxpr


def _field(name: str, range_: InputRange, axis: int, length: int) -> ReceptiveField:
    others = tuple(i for i in range(range_.low.ndim) if i != axis)
    low, high = range_.least(others)
    unit = low.size // 2
    if low.size < 4 or low[unit] <= 0 or high[unit] >= length - 1:
        return ReceptiveField(name, whole=True)
    quarter = low.size // 4
    steps = np.diff(low[quarter : low.size - quarter])
    size, stride = int(high[unit] - low[unit] + 1), float(np.median(steps))
    padding = unit * stride - float(low[unit])
    return ReceptiveField(
        name,
        whole=False,
        size=size,
        stride=stride,
        padding=padding,
        centre=(size - 1) / 2 - padding,
        misaligned=range_.skew[1] - range_.skew[0],
    )
