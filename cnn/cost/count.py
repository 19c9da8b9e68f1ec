"""Counts the cost of a network layer by layer, from shapes alone; no array is allocated.

Layers are counted by type, not by their lowering: XLA's own count depends on how a convolution
is expressed, and is wrong with padding.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from cnn import models
from cnn.config.registry import Registry
from cnn.layers import DOWNSAMPLERS, HEADS, BeforeConv, Conv, Downsample, Head, Operator
from cnn.layers.work import Site, Work
from cnn.ops.padding import per_axis

_RULED = (Downsample, BeforeConv, Head)


@dataclass(frozen=True)
class LayerCost:
    """One layer on one image.

    Attributes:
      name: path of the module.
      kind: "conv 3x3 /2", "dense", the operator, or the class of what only has parameters.
      output: shape without the batch.
      parameters: its own.
      macs: multiply-accumulates; additions of a bias and norms count nothing.
      operations: other operations of operators: comparisons, means, exponentials, transforms; both
        None of an operator whose entry has no cost, and of a module of unknown kind with weights.
      activations: elements that convolutions and linear maps write (as fvcore and pycls count).
      bytes: of the output in the compute dtype.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int | None
    operations: int | None
    activations: int
    bytes: int


@dataclass(frozen=True)
class NetworkCost:
    """All layers in the order of their calls."""

    layers: tuple[LayerCost, ...]

    def total(self, quantity: str) -> int | None:
        """Returns the sum of a quantity of `LayerCost` over the layers; None: one is unknown."""
        return _total(self.layers, quantity)

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of one image; None: unknown of a layer."""
        return self.total("macs")

    @property
    def parameters(self) -> int:
        """Learned numbers."""
        return self.total("parameters")

    def by_module(self) -> "NetworkCost":
        """Returns the sums of each module of the network itself, such as a block or the head."""
        groups: dict[str, list[LayerCost]] = {}
        for layer in self.layers:
            groups.setdefault(layer.name.partition("/")[0], []).append(layer)
        return NetworkCost(tuple(_sum(name, layers) for name, layers in groups.items()))


def _total(layers: Iterable[LayerCost], quantity: str) -> int | None:
    values = [getattr(layer, quantity) for layer in layers]
    return None if None in values else sum(values)


def _sum(name: str, layers: list[LayerCost]) -> LayerCost:
    quantities = ("parameters", "macs", "operations", "activations", "bytes")
    totals = {quantity: _total(layers, quantity) for quantity in quantities}
    kinds = f"{len(layers)} layers" if len(layers) > 1 else layers[0].kind
    return LayerCost(name=name, kind=kinds, output=layers[-1].output, **totals)


def count(model: nn.Module, input_shape: tuple[int, ...]) -> NetworkCost:
    """Counts a network for one image `[*spatial, C]`, in evaluation.

    Conventions: one multiply-accumulate is one (some call it two FLOPs); a convolution takes
    outputs * window * C / groups of them, whatever part of the windows is padding; a grouped or
    depthwise one is counted as such. Norms, activations, biases and sums are left out, as in the
    published counts of the networks.
    """
    calls: list[tuple[str, nn.Module, Any, Any]] = []

    def note(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        place = len(calls)
        result = call(*args, **kwargs)
        if context.method_name == "__call__" and args and hasattr(args[0], "shape"):
            name, output = "/".join(context.module.path), jax.tree.leaves(result)[0]
            calls.insert(place, (name, context.module, args[0].shape, output))
        return result

    def init(image: jax.Array) -> Any:
        rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        with nn.intercept_methods(note):
            return model.init(rngs, image, False)["params"]

    params = jax.eval_shape(init, jax.ShapeDtypeStruct((1, *input_shape), jnp.float32))
    own = dict(_own_parameters(params))
    # The cost rule of an operator or head covers the modules that it is made of.
    ruled = [name for name, module, *_ in calls if isinstance(module, _RULED)]
    layers = []
    for name, *call in calls:
        size, weights = own.pop(name, (0, False))
        unknown = weights and not any(name.startswith(f"{rule}/") for rule in ruled)
        if layer := _layer(name, *call, size, Work(None, None) if unknown else Work()):
            layers.append(layer)
    # A module that gives its parameters away instead of being called with an array.
    layers += [
        LayerCost(name, "parameters", (), size, 0, 0, 0, 0) for name, (size, _) in own.items()
    ]
    return NetworkCost(tuple(layers))


def network_cost(model: ConfigDict, input_shape: tuple[int, ...], num_classes: int) -> NetworkCost:
    """Counts the network that `config.model` describes; see `count`."""
    return count(models.build(model, num_classes), input_shape)


def macs(model: ConfigDict, input_shape: tuple[int, ...], num_classes: int) -> int | None:
    """Returns the multiply-accumulates of one image `[*spatial, C]`; None: unknown."""
    return network_cost(model, input_shape, num_classes).macs


def _own_parameters(
    tree: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[int, bool]]]:
    """Yields of each module its number of parameters, and whether any of them mixes channels."""
    own = [leaf for leaf in tree.values() if not isinstance(leaf, dict)]
    if own:
        mixing = any(sum(size > 1 for size in leaf.shape) > 1 for leaf in own)
        yield "/".join(path), (sum(leaf.size for leaf in own), mixing)
    for name, child in tree.items():
        if isinstance(child, dict):
            yield from _own_parameters(child, (*path, name))


def _layer(
    name: str,
    module: nn.Module,
    before: tuple[int, ...],
    output: Any,
    parameters: int,
    work: Work,
) -> LayerCost | None:
    """Returns the cost of a module; `work` is that of one of unknown kind."""
    after, kind, activations = output.shape, type(module).__name__, 0
    if isinstance(module, Conv):
        size = per_axis(module.window, len(before) - 2, "window")
        inputs = before[-1] // module.groups
        kind, activations = _conv_kind(module, before, size), math.prod(after)
        work = Work(macs=math.prod(after) * math.prod(size) * inputs)
    elif isinstance(module, nn.Conv):
        size = per_axis(module.kernel_size, len(before) - 2, "kernel_size")
        inputs = before[-1] // module.feature_group_count
        kind, activations = "conv " + "x".join(map(str, size)), math.prod(after)
        work = Work(macs=math.prod(after) * math.prod(size) * inputs)
    elif isinstance(module, nn.Dense):
        kind, activations = "dense", math.prod(after)
        work = Work(macs=before[-1] * math.prod(after))
    elif isinstance(module, Downsample | BeforeConv):
        kind = module.operator
        work = _work(DOWNSAMPLERS, module.operator, before, after)
    elif isinstance(module, Head):
        kind, work = module.pooling, _work(HEADS, module.pooling, before, after)
    if not (parameters or activations or work != Work()):
        return None
    written = math.prod(after) * output.dtype.itemsize
    return LayerCost(
        name, kind, after[1:], parameters, work.macs, work.operations, activations, written
    )


def _conv_kind(module: Conv, before: tuple[int, ...], size: tuple[int, ...]) -> str:
    depthwise = module.groups == before[-1] > 1
    words = ["depthwise" if depthwise else "conv", "x".join(map(str, size))]
    strides = per_axis(module.strides, len(size), "strides")
    if max(strides) > 1:
        words.append("/" + "x".join(map(str, dict.fromkeys(strides))))
    if module.groups > 1 and not depthwise:
        words.append(f"in {module.groups} groups")
    return " ".join(words)


def _work(registry: Registry[Operator], text: str, before: Any, after: Any) -> Work:
    name, options = registry.parse(text, "operator")
    entry = registry[name]
    if entry.cost is None:
        return Work(None, None)
    return entry.cost(Site(tuple(before[1:]), tuple(after[1:]), entry.defaults() | options))
