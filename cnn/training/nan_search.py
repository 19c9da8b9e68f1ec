"""Finds the first non-finite value of a step by running it again, layer by layer, outside jit."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.config.seeds import Seeds
from cnn.training.assembly import Trainer
from cnn.training.metrics import NonFiniteLossError
from cnn.training.state import TrainState
from cnn.training.steps import Recipe, make_examples, training_loss
from cnn.training.streams import stream_key


def with_nan_search(trainer: Trainer) -> Trainer:
    """Returns the trainer with an update that stops at the first non-finite value.

    The update keeps a copy of its state and waits for its result, so training is slower and takes
    the memory of one state more.
    """

    def update(state: TrainState, seeds: Seeds, arrays: Any, batch: Any) -> Any:
        before = jax.tree.map(jnp.copy, state)
        after, sums = trainer.update(state, seeds, arrays, batch)
        if not _is_finite((sums, after.params, after.collections)):
            place = first_non_finite(trainer.recipe, before, seeds, arrays, batch)
            raise NonFiniteLossError(f"step {int(before.step) + 1}: {place}")
        return after, sums

    return replace(trainer, update=update)


def first_non_finite(
    recipe: Recipe, state: TrainState, seeds: Seeds, arrays: Any, batch: Any
) -> str:
    """Repeats one step and names the first non-finite tensor.

    Checked in this order: the state before the step, the augmented inputs, every layer's output,
    the loss, the gradients, the update.
    """
    for name, value in _tensors(recipe, state, seeds, arrays, batch):
        bad = ~np.isfinite(np.asarray(value, np.float64))
        if bad.any():
            kind = "NaN" if np.isnan(np.asarray(value, np.float64)).any() else "infinite"
            return (
                f"{name} is the first tensor that is not finite ({kind}; "
                f"{bad.sum():,} of {bad.size:,} values, shape {tuple(bad.shape)})"
            )
    return "no tensor of the step made again is infinite or NaN: only the compiled step gives it"


def _tensors(
    recipe: Recipe, state: TrainState, seeds: Seeds, arrays: Any, batch: Any
) -> Iterator[tuple[str, Array]]:
    yield from _leaves("parameter", state.params)
    for name, tree in state.collections.items():
        yield from _leaves(name, tree)
    examples = make_examples(recipe, state.step, seeds, arrays, batch)
    yield "the augmented input", examples.inputs
    dropout = stream_key(seeds.dropout, "dropout", state.step)
    outputs: list[tuple[str, Array]] = []

    def record(call: Any, arguments: Any, options: Any, context: nn.module.InterceptorContext):
        result = call(*arguments, **options)
        if context.method_name == "__call__":
            name = "/".join(context.module.path) or "the network"
            outputs.extend(_leaves(f"the output of {name}", result))
        return result

    def loss(params: Any) -> tuple[Array, Any]:
        return training_loss(recipe, params, examples, dropout, collections=state.collections)

    with jax.disable_jit(), nn.intercept_methods(record):
        value, _ = loss(state.params)
    yield from outputs
    yield "the loss", value
    grads, _ = jax.grad(loss, has_aux=True)(state.params)
    yield from _leaves("the gradient of", grads)
    updates, _ = recipe.tx.update(grads, state.opt_state, state.params, step=state.step)
    yield from _leaves("the update of", updates)


def _leaves(kind: str, tree: Any) -> Iterator[tuple[str, Array]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            name = "/".join(str(getattr(part, "key", part)) for part in path)
            yield f"{kind} {name}".strip(), leaf


def _is_finite(tree: Any) -> bool:
    return all(np.isfinite(np.asarray(x, np.float64)).all() for _, x in _leaves("", tree))
