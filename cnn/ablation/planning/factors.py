"""Audit of confounding factors: what else an arm changes besides the operator under study."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from cnn import models
from cnn.config.fields import leaves
from cnn.config.record import FREE_FIELDS
from cnn.cost.count import count
from cnn.evaluation.receptive_field.theoretical import receptive_fields
from cnn.layers import HEADS, NORMS
from cnn.layers.downsample import DOWNSAMPLERS, operator_of
from cnn.layers.style import ACTIVATIONS

# Relative: smaller differences of parameters and multiply-accumulates are no factor.
TOLERANCE = 0.05
SITES = tuple(field.removeprefix("model.") for field in (*DOWNSAMPLERS.fields, *HEADS.fields))
# Elementwise or over windows; the maximum that keeps a softmax finite is a reduction.
_MAXIMA = ("max", "reduce_window_max")
_NORMS = tuple(norm for name, norm in NORMS.items() if name != "none")


@dataclass(frozen=True)
class Factors:
    """Properties of an arm that may explain a difference from another.

    Attributes:
      parameters, macs: of the network; None where they cannot be counted.
      receptive_field: of the last layer that does not see the whole input, in pixels along the
        first axis; None if there is none or it cannot be traced.
      norms: layers that normalize.
      activations: non-linearities between layers.
      maxima: whether anything takes a maximum over pixels.
      sampling: of every downsampling operator, whether it selects the polyphase component by its
        input, and whether it keeps the resolution.
      sites: the operator at each site where the resolution drops.
      recipe: every field outside `model` that affects the result, except the seed.
    """

    parameters: int | None
    macs: int | None
    receptive_field: int | None
    norms: int
    activations: int
    maxima: bool
    sampling: tuple[tuple[bool, bool], ...]
    sites: tuple[tuple[str, str], ...]
    recipe: tuple[tuple[str, Any], ...]

    def differing(self, baseline: "Factors") -> tuple[str, ...]:
        """Names the factors in which this arm differs from its baseline.

        Another operator at one site is the change under study; at two sites it is a factor. How the
        operator aggregates (by a maximum or not) and which positions it keeps are two factors, as
        each can be changed alone. An operator that keeps other positions has another receptive
        field for that reason, so that is not counted again.
        """
        sampled = self.sampling != baseline.sampling
        moved = sum(a != b for a, b in zip(self.sites, baseline.sites, strict=True))
        marks = {
            "parameters": _apart(self.parameters, baseline.parameters),
            "MACs": _apart(self.macs, baseline.macs),
            "receptive field": not sampled and self.receptive_field != baseline.receptive_field,
            "normalization": self.norms != baseline.norms,
            "non-linearities": self.activations != baseline.activations,
            "maximum": self.maxima != baseline.maxima,
            "sampling": sampled,
            "sites": moved > 1,
            "recipe": self.recipe != baseline.recipe,
        }
        return tuple(name for name, differs in marks.items() if differs)


def _apart(mine: int | None, other: int | None) -> bool:
    if mine is None or other is None:
        return mine is not other
    return abs(mine - other) > TOLERANCE * other


def factors_of(
    config: ConfigDict,
    input_shape: tuple[int, ...],
    num_classes: int,
    tuned: tuple[str, ...] = (),
) -> Factors:
    """Returns the factors of the network and the recipe of a config.

    Args:
      config: of a run.
      input_shape: `[*spatial, C]` of one example.
      num_classes: of the data.
      tuned: fields tuned with the same budget in every arm, which are not counted as factors.
    """
    model = models.build(config.model, num_classes)
    cost = count(model, input_shape)
    norms, jaxpr = _followed(model, input_shape)
    seen = list(_equations(jaxpr))
    return Factors(
        parameters=cost.parameters,
        macs=cost.macs,
        receptive_field=_receptive_field(model, input_shape),
        norms=norms,
        activations=sum(_is_activation(name) for name, _ in seen),
        maxima=any(name in _MAXIMA and arrays for name, arrays in seen),
        sampling=_sampling(models.resolve(config.model)),
        sites=_sites(config.model),
        recipe=tuple(
            (name, value)
            for name, value in leaves(config)
            if not name.startswith(("model.", "log.", "seed"))
            and name not in (*FREE_FIELDS, *tuned)
        ),
    )


def _sites(model: ConfigDict) -> tuple[tuple[str, str], ...]:
    """Returns the operator per site, except for a shortcut that follows its block's selection."""
    named = {site: str(model.get(site, "")) for site in SITES}
    main, shortcut = named["downsample"], named["shortcut_downsample"]
    if main and shortcut and operator_of(main).shares_phase and operator_of(shortcut).shares_phase:
        named["shortcut_downsample"] = ""
    return tuple(named.items())


def _sampling(model: ConfigDict) -> tuple[tuple[bool, bool], ...]:
    named = (model.get(field.removeprefix("model.")) for field in DOWNSAMPLERS.fields)
    operators = [operator_of(text) for text in named if text]
    return tuple(sorted({(one.shares_phase, one.keeps_resolution) for one in operators}))


def _receptive_field(model: nn.Module, input_shape: tuple[int, ...]) -> int | None:
    sizes = [field.size for field in receptive_fields(model, input_shape) if not field.whole]
    return sizes[-1] if sizes else None


def _followed(model: nn.Module, input_shape: tuple[int, ...]) -> tuple[int, Any]:
    """Returns how often a norm is called in evaluation, and the program of the network."""
    calls = []

    def note(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.method_name == "__call__" and isinstance(context.module, _NORMS):
            calls.append(context.module.path)
        return call(*args, **kwargs)

    image = jax.ShapeDtypeStruct((1, *input_shape), jnp.float32)
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    variables = jax.eval_shape(lambda x: model.init(rngs, x, False), image)
    with nn.intercept_methods(note):
        program = jax.make_jaxpr(lambda v, x: model.apply(v, x, False))(variables, image)
    return len(calls), program.jaxpr


def _is_activation(step: str) -> bool:
    """Whether a step is that of `activate`, or a function of jax.nn inside an operator."""
    return step == "activation" or step in ACTIVATIONS


def _equations(jaxpr: Any) -> Iterator[tuple[str, bool]]:
    """Yields the name of every step, and whether all it takes are arrays.

    A non-linearity is one step by its name, whatever it is made of.
    """
    for equation in jaxpr.eqns:
        name = str(equation.params.get("name", ""))
        if _is_activation(name):
            yield name, True
            continue
        inner = jax.tree.leaves(dict(equation.params), is_leaf=_is_program)
        programs = [getattr(p, "jaxpr", p) for p in inner if _is_program(p)]
        for program in programs:
            yield from _equations(program)
        if not programs:
            arrays = all(getattr(value.aval, "ndim", 0) > 0 for value in equation.invars)
            yield equation.primitive.name, arrays


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")
