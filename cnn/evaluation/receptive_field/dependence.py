"""The range of input positions along one axis that each element of a program can depend on.

A jaxpr is interpreted equation by equation. Every array carries, per element, the first and last
input position for which its derivative can be non-zero, through windows, slices, shifted sums and
transforms. Comparisons, roundings and indices have no derivative and end a path.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cnn.evaluation.receptive_field.constant_axes import combined, concatenated, padded, reduced

Low, High = np.inf, -np.inf


@dataclass(frozen=True)
class InputRange:
    """First and last input position of each element; (inf, -inf) if it depends on none.

    Attributes:
      low: first positions, float32, of the value's shape.
      high: last positions, likewise.
      skew: smallest and largest signed distance of a path's centre from the centre of the hull of
        all paths, in input positions.
    """

    low: np.ndarray
    high: np.ndarray
    skew: tuple[float, float] = (0.0, 0.0)

    def each(self, function: Callable[[np.ndarray, float], np.ndarray]) -> "InputRange":
        """Applies a rearrangement to both ends; its second argument stands for no input."""
        return replace(self, low=function(self.low, Low), high=function(self.high, High))

    def least(self, axes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the first and last position over axes, which are removed."""
        return reduced(np.minimum, self.low, axes), reduced(np.maximum, self.high, axes)

    def middle(self) -> tuple[float, float] | None:
        """Returns the hull over all channels at the centre, if it depends on any input."""
        place = tuple(n // 2 for n in self.low.shape[:-1])
        low, high = float(self.low[place].min()), float(self.high[place].max())
        return (low, high) if low <= high else None


Value = InputRange | None  # None: depends on no input
Rule = Callable[[Any, Sequence[Value]], Value]
RULES: dict[str, Rule] = {}


def join(values: Sequence[Value]) -> Value:
    """Returns the union of the ranges of values of equal shape."""
    found = [v for v in values if v is not None]
    if len(found) < 2:
        return found[0] if found else None
    low = combined(np.minimum, [v.low for v in found])
    high = combined(np.maximum, [v.high for v in found])
    both = InputRange(low, high)
    whole = both.middle()
    parts = [(v.middle(), v.skew) for v in found]
    centres = [sum(hull) / 2 + s for hull, skew in parts if hull for s in skew]
    if whole is None or not centres:
        return both
    middle = sum(whole) / 2
    return replace(both, skew=(min(centres) - middle, max(centres) - middle))


def everything(shape: tuple[int, ...], values: Sequence[Value]) -> Value:
    """Returns a range of this shape that covers all inputs of the values."""
    found = [v for v in values if v is not None]
    if not found:
        return None
    ends = [v.least(range(v.low.ndim)) for v in found]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return InputRange(*(np.broadcast_to(np.float32(end), shape) for end in (low, high)))


def follow(jaxpr: Any, inputs: Sequence[Value], marks: Callable[..., Value]) -> list[Value]:
    """Interprets a program on input ranges.

    Args:
      jaxpr: without constants that depend on the input.
      inputs: ranges of its arguments.
      marks: (parameters, operands) -> the value of a "layer" equation.

    Returns:
      The ranges of its results.
    """
    known: dict[Any, Value] = dict(zip(jaxpr.invars, inputs, strict=True))
    platforms = set()

    def read(variable: Any) -> Value:
        return None if hasattr(variable, "val") else known.get(variable)

    for equation in jaxpr.eqns:
        if equation.primitive.name == "platform_index":
            platforms.update(equation.outvars)
        operands = [read(v) for v in equation.invars]
        if all(o is None for o in operands):
            continue
        inner = _inner(equation)
        if equation.primitive.name == "cond" and equation.invars[0] in platforms:
            # The branches are lowerings of the same function; the last is the default.
            inner = inner[-1:]
        if equation.primitive.name == "layer":
            results = [marks(equation.params, operands)]
        elif inner:
            taken = operands[len(operands) - len(inner[0].invars) :]
            each = [follow(program, taken, marks) for program in inner]
            results = [join(values) for values in zip(*each, strict=True)]
        else:
            rule = RULES.get(equation.primitive.name, _unknown)
            results = [rule(equation, operands)] * len(equation.outvars)
        known.update(zip(equation.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _inner(equation: Any) -> list[Any]:
    """Returns the programs within an equation: of a call, or of each branch."""
    params = equation.params
    if equation.primitive.name == "cond":
        return [branch.jaxpr for branch in params["branches"]]
    if equation.primitive.name in ("scan", "while"):
        return []
    program = params.get("jaxpr") or params.get("call_jaxpr") or params.get("fun_jaxpr")
    return [getattr(program, "jaxpr", program)] if program is not None else []


def _shape(equation: Any) -> tuple[int, ...]:
    return equation.outvars[0].aval.shape


def _unknown(equation: Any, operands: Sequence[Value]) -> Value:
    return everything(_shape(equation), operands)


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def add(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return add


@_rule("eq", "ne", "lt", "le", "gt", "ge", "sign", "floor", "ceil", "round", "argmax", "argmin")
@_rule("stop_gradient", "is_finite", "and", "or", "not", "xor")
def _no_derivative(equation: Any, operands: Sequence[Value]) -> Value:
    return None


@_rule("add", "add_any", "sub", "mul", "div", "max", "min", "pow", "atan2", "complex", "rem")
@_rule("neg", "exp", "exp2", "log", "log1p", "expm1", "tanh", "logistic", "erf", "erfc", "sqrt")
@_rule("rsqrt", "cbrt", "square", "abs", "integer_pow", "sin", "cos", "real", "imag", "conj")
@_rule("convert_element_type", "reduce_precision", "copy", "clamp", "optimization_barrier")
def _elementwise(equation: Any, operands: Sequence[Value]) -> Value:
    return join([_of_shape(o, _shape(equation)) for o in operands])


@_rule("select_n")
def _select(equation: Any, operands: Sequence[Value]) -> Value:
    # The predicate has no derivative.
    return join([_of_shape(o, _shape(equation)) for o in operands[1:]])


def _of_shape(value: Value, shape: tuple[int, ...]) -> Value:
    return None if value is None else value.each(lambda a, _: np.broadcast_to(a, shape))


@_rule("broadcast_in_dim")
def _broadcast(equation: Any, operands: Sequence[Value]) -> Value:
    dims, shape = equation.params["broadcast_dimensions"], _shape(equation)
    inner = [1] * len(shape)
    for place, size in zip(dims, operands[0].low.shape, strict=True):
        inner[place] = size
    return operands[0].each(lambda a, _: np.broadcast_to(a.reshape(inner), shape))


@_rule("reshape", "squeeze", "expand_dims")
def _reshape(equation: Any, operands: Sequence[Value]) -> Value:
    return operands[0].each(lambda a, _: a.reshape(_shape(equation)))


@_rule("transpose")
def _transpose(equation: Any, operands: Sequence[Value]) -> Value:
    return operands[0].each(lambda a, _: a.transpose(equation.params["permutation"]))


@_rule("rev")
def _reverse(equation: Any, operands: Sequence[Value]) -> Value:
    return operands[0].each(lambda a, _: np.flip(a, equation.params["dimensions"]))


@_rule("slice")
def _slice(equation: Any, operands: Sequence[Value]) -> Value:
    p = equation.params
    strides = p["strides"] or (1,) * len(p["start_indices"])
    places = tuple(map(slice, p["start_indices"], p["limit_indices"], strides))
    return operands[0].each(lambda a, _: a[places])


@_rule("pad")
def _pad(equation: Any, operands: Sequence[Value]) -> Value:
    config = equation.params["padding_config"]
    return operands[0].each(lambda a, none: padded(a, config, none))


def _absent(value: Value, variable: Any) -> InputRange:
    if value is not None:
        return value
    shape = variable.aval.shape
    none = (np.broadcast_to(np.float32(end), shape) for end in (Low, High))
    return InputRange(*none)


@_rule("concatenate")
def _concatenate(equation: Any, operands: Sequence[Value]) -> Value:
    return _side_by_side(np.concatenate, equation.params["dimension"], equation, operands)


@_rule("stack")
def _stack(equation: Any, operands: Sequence[Value]) -> Value:
    axis = equation.params.get("axis", equation.params.get("dimension"))
    return _side_by_side(np.stack, axis, equation, operands)


def _side_by_side(put: Any, axis: int, equation: Any, operands: Sequence[Value]) -> Value:
    parts = [_absent(o, v) for o, v in zip(operands, equation.invars, strict=True)]
    known = [o for o in operands if o is not None]
    skew = min(o.skew[0] for o in known), max(o.skew[1] for o in known)
    low, high = (
        concatenated(put, ends, axis) for ends in ([p.low for p in parts], [p.high for p in parts])
    )
    return InputRange(low, high, skew)


@_rule("reduce_sum", "reduce_max", "reduce_min", "reduce_prod")
def _reduce(equation: Any, operands: Sequence[Value]) -> Value:
    return InputRange(*operands[0].least(equation.params["axes"]), operands[0].skew)


@_rule("sort", "cumsum", "cummax", "cumlogsumexp")
def _along(equation: Any, operands: Sequence[Value]) -> Value:
    name = "dimension" if "dimension" in equation.params else "axis"
    return _whole_axes(join(operands), (equation.params[name],))


@_rule("fft")
def _transform(equation: Any, operands: Sequence[Value]) -> Value:
    ndim = len(equation.params["fft_lengths"])
    whole = _whole_axes(operands[0], tuple(range(-ndim, 0)))
    first = whole.each(lambda a, _: a[(..., *(slice(0, 1),) * ndim)])
    return _of_shape(first, _shape(equation))


def _whole_axes(value: InputRange, axes: tuple[int, ...]) -> InputRange:
    shape = value.low.shape
    places = tuple(axis % len(shape) for axis in axes)
    ends = (np.expand_dims(end, places) for end in value.least(places))
    return InputRange(*(np.broadcast_to(end, shape) for end in ends), value.skew)


@_rule("conv_general_dilated")
def _convolution(equation: Any, operands: Sequence[Value]) -> Value:
    if operands[0] is None:
        return _unknown(equation, operands)
    p = equation.params
    numbers, kernel = p["dimension_numbers"], equation.invars[1].aval.shape
    batch, channel, *spatial = numbers.lhs_spec
    x = operands[0].each(lambda a, _: a.transpose(batch, *spatial, channel))
    # The union over all channels, an upper bound for grouped convolutions.
    x = InputRange(*x.least((-1,)), x.skew)
    size = [kernel[i] for i in numbers.rhs_spec[2:]]
    y = _windows(x, size, p["window_strides"], p["padding"], p["lhs_dilation"], p["rhs_dilation"])
    order = np.argsort([numbers.out_spec[0], *numbers.out_spec[2:], numbers.out_spec[1]])
    return _of_shape(y.each(lambda a, _: a[..., None].transpose(order)), _shape(equation))


@_rule("reduce_window_max", "reduce_window_min", "reduce_window_sum")
def _pool(equation: Any, operands: Sequence[Value]) -> Value:
    p, x = equation.params, operands[0].each(lambda a, _: a[None])
    size, strides = p["window_dimensions"], p["window_strides"]
    y = _windows(x, size, strides, p["padding"], p["base_dilation"], p["window_dilation"])
    return y.each(lambda a, _: a[0])


def _windows(
    x: InputRange, size: Any, strides: Any, padding: Any, inner: Any, dilation: Any
) -> InputRange:
    """Takes the union over windows along all axes but the first, one axis at a time."""
    for axis, (k, s, (low, high), i, d) in enumerate(
        zip(size, strides, padding, inner, dilation, strict=True), 1
    ):
        config = [(0, 0, 0)] * x.low.ndim
        config[axis] = (low, high, i - 1)
        x = x.each(lambda a, none, config=config: padded(a, config, none))
        count = (x.low.shape[axis] - d * (k - 1) - 1) // s + 1

        def taps(a: np.ndarray, axis=axis, k=k, s=s, d=d, count=count) -> list[np.ndarray]:
            before = (slice(None),) * axis
            return [a[(*before, slice(t * d, t * d + s * (count - 1) + 1, s))] for t in range(k)]

        low_end, high_end = combined(np.minimum, taps(x.low)), combined(np.maximum, taps(x.high))
        x = replace(x, low=low_end, high=high_end)
    return x


@_rule("dot_general")
def _product(equation: Any, operands: Sequence[Value]) -> Value:
    (contracted, batches), shape = equation.params["dimension_numbers"], _shape(equation)
    free = [
        v.aval.ndim - len(c) - len(b)
        for v, c, b in zip(equation.invars, contracted, batches, strict=True)
    ]
    parts = []
    for side, operand in enumerate(operands):
        if operand is None:
            continue
        ndim, batch, summed = operand.low.ndim, batches[side], contracted[side]
        rest = [i for i in range(ndim) if i not in batch and i not in summed]
        ends = InputRange(*operand.least(summed))
        kept = [i for i in range(ndim) if i not in summed]
        order = [kept.index(i) for i in (*batch, *rest)]
        place = len(batch) + (free[0] if side else 0)
        fill = [*range(len(batch), place)] if side else [*range(place + len(rest), len(shape))]
        moved = ends.each(
            lambda a, _, order=order, fill=fill: np.expand_dims(a.transpose(order), fill)
        )
        parts.append(_of_shape(replace(moved, skew=operand.skew), shape))
    return join(parts)


def range_of_input(shape: tuple[int, ...], axis: int) -> InputRange:
    """Returns the range of the input itself: each element's own position along an axis."""
    places = np.arange(shape[axis], dtype=np.float32)
    places = places.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    places = np.broadcast_to(places, shape)
    return InputRange(places, places)
