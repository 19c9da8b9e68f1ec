"""The two jitted functions: one update, and the outcome of every example of a batch."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import Array
from optax import contrib

from cnn.config.seeds import Seeds
from cnn.training.averages import Averaging, blend
from cnn.training.distillation import Teacher
from cnn.training.losses import Loss, consistency
from cnn.training.remat import recomputed_blocks
from cnn.training.sharpness import Ascent
from cnn.training.state import TrainState, init_model
from cnn.training.streams import stream_key
from cnn.training.tta import with_views

Batch = dict[str, Array]


@dataclass(frozen=True)
class Recipe:
    """What one update is made of.

    Attributes:
      model: the network.
      tx: optimizer, whose `update` also takes the `step`, see `optimizer.at_rate`.
      load: (arrays, batch) -> {"input", "label"} on the device.
      augment: (key, input, label) -> (float32 inputs [B, *spatial, C], targets [B, K]).
      loss: (logits [B, K], targets [B, K]) -> [B].
      accumulation: micro-batches per step.
      averaging: of the variables over steps; None: none.
      ascend: (params, gradient) -> the params whose gradient makes the update; None: the same.
      teacher: for distillation; None: none.
      consistency: weight of the divergence of three views of each example, which `augment` then
        returns as `[B, 3, *spatial, C]`, the first for the loss; 0: off.
      averages: whether `tx` is `optax.contrib.schedule_free`, whose average is what is evaluated.
      remat: store only the inputs of blocks, and recompute the rest in the backward pass.
    """

    model: nn.Module
    tx: optax.GradientTransformationExtraArgs
    load: Callable[[Any, Batch], Batch]
    augment: Callable[[Array, Array, Array], tuple[Array, Array]]
    loss: Loss = optax.softmax_cross_entropy
    accumulation: int = 1
    averaging: Averaging | None = None
    ascend: Ascent | None = None
    teacher: Teacher | None = None
    consistency: float = 0.0
    averages: bool = False
    remat: bool = False

    def init(self, seed: Array | int, input_shape: tuple[int, ...]) -> TrainState:
        """Returns the state before the first step; to be traced, see `init_model`."""
        ema = self.averages or self.averaging is not None
        state = init_model(self.model, seed, input_shape, ema=ema)
        own = {field.name: getattr(state, field.name) for field in fields(state)}
        return TrainState(**own, opt_state=self.tx.init(state.params))


class Examples(NamedTuple):
    """The inputs and targets of a step.

    Attributes:
      inputs: float32 `[B, *spatial, C]`, or three views of each.
      targets: float32 `[B, K]`.
      taught: the teacher's logits `[B, K]`, None without a teacher.
    """

    inputs: Array
    targets: Array
    taught: Array | None = None


def make_examples(
    recipe: Recipe, step: Array, seeds: Seeds, arrays: Any, batch: Batch, teacher: Any = None
) -> Examples:
    """Returns the augmented examples of a step; for the arguments see `make_train_step`."""
    data = recipe.load(arrays, batch)
    key = stream_key(seeds.augment, "augment", step)
    inputs, targets = recipe.augment(key, data["input"], data["label"])
    if recipe.teacher is None:
        return Examples(inputs, targets)
    seen = inputs[:, 0] if recipe.consistency else inputs
    return Examples(inputs, targets, recipe.teacher.answer(seen, teacher))


def make_train_step(recipe: Recipe) -> Callable[..., tuple[TrainState, Batch]]:
    """Returns (state, seeds, arrays, batch, teacher=None) -> (state, sums), to be jitted.

    `teacher` holds the teacher's variables, passed as an argument so that they are not compiled in
    as constants; None takes those of the recipe.

    `sums` holds float32 sums over the batch: loss, correct and count. With accumulation the batch
    is cut into micro-batches of every A-th example (so that each device cuts its own part), each
    normalised with its own batch statistics, all of them seeing the same old running statistics;
    the mean of their gradients and of their new running statistics is what one large batch with
    ghost groups of that size gives.
    """

    def train_step(state: TrainState, seeds: Seeds, arrays: Any, batch: Batch, teacher: Any = None):
        examples = make_examples(recipe, state.step, seeds, arrays, batch, teacher)
        dropout_key = stream_key(seeds.dropout, "dropout", state.step)
        grads, collections, sums = _gradients(recipe, state, examples, dropout_key)
        if recipe.ascend:
            uphill = state.replace(params=recipe.ascend(state.params, grads))
            grads, _, _ = _gradients(recipe, uphill, examples, dropout_key)
        updates, opt_state = recipe.tx.update(grads, state.opt_state, state.params, step=state.step)
        params = optax.apply_updates(state.params, updates)
        new = state.replace(
            step=state.step + 1, params=params, collections=collections, opt_state=opt_state
        )
        return _average(recipe, new), sums

    return train_step


def _gradients(recipe: Recipe, state: TrainState, examples: Examples, key: Array):
    def gradient(examples: Examples, key: Array):
        loss = partial(training_loss, recipe, collections=state.collections)
        return jax.grad(loss, has_aux=True)(state.params, examples, key)

    pieces = recipe.accumulation
    if pieces == 1:
        grads, (collections, sums) = gradient(examples, key)
        return grads, collections, sums

    def cut(x: Array) -> Array:
        return jnp.moveaxis(x.reshape(-1, pieces, *x.shape[1:]), 1, 0)

    def add(total, piece):
        grads, (collections, sums) = gradient(*piece)
        old_grads, (old_collections, old_sums) = total
        collections = blend(jnp.add, old_collections, collections)
        grads, sums = jax.tree.map(jnp.add, (old_grads, old_sums), (grads, sums))
        return (grads, (collections, sums)), None

    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(pieces))
    cuts = (jax.tree.map(cut, examples), keys)
    shapes = jax.eval_shape(gradient, *jax.tree.map(lambda x: x[0], cuts))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (grads, (collections, sums)), _ = jax.lax.scan(add, zeros, cuts)
    grads = jax.tree.map(lambda x: x / pieces, grads)
    return grads, blend(lambda _, x: x / pieces, collections, collections), sums


def training_loss(
    recipe: Recipe,
    params: Any,
    examples: Examples,
    key: Array,
    *,
    collections: dict[str, Any],
) -> tuple[Array, tuple[dict[str, Any], Batch]]:
    """Returns the mean loss of a batch, with the new collections and the sums over the batch."""
    inputs, targets, taught = examples
    if recipe.consistency:
        inputs = inputs.reshape(-1, *inputs.shape[2:])
    with recomputed_blocks() if recipe.remat else nullcontext():
        logits, updates = recipe.model.apply(
            {"params": params, **collections},
            inputs,
            train=True,
            mutable=list(collections),
            rngs={"dropout": key},
        )
    extra = 0.0
    if recipe.consistency:
        views = logits.reshape(len(targets), -1, logits.shape[-1])
        logits, extra = views[:, 0], recipe.consistency * consistency(views)
    losses = recipe.loss(logits, targets) + extra
    if recipe.teacher:
        losses = recipe.teacher.mixed(losses, logits, taught)
    correct = logits.argmax(-1) == targets.argmax(-1)
    sums = {
        "loss": losses.sum(),
        "correct": correct.sum(dtype=jnp.float32),
        "count": jnp.float32(losses.size),
    }
    return losses.mean(), (dict(updates), sums)


def _average(recipe: Recipe, state: TrainState) -> TrainState:
    if recipe.averages:
        params = contrib.schedule_free_eval_params(state.opt_state, state.params)
        return state.replace(ema=state.current() | {"params": params})
    return recipe.averaging.update(state) if recipe.averaging else state


def infer(model: nn.Module, variables: dict[str, Any], inputs: Array) -> Array:
    """Returns logits float32 `[B, K]` of prepared inputs, in evaluation mode; to be traced."""
    return model.apply(variables, inputs, train=False)


def make_forward(
    logits: Callable[[dict[str, Any], Array], Array],
    load: Callable[[Any, Batch], Batch],
    prepare: Callable[[Array], Array],
) -> Callable[[dict[str, Any], Any, Batch], tuple[Array, Array]]:
    """Returns (variables, arrays, batch) -> logits `[B, K]` and labels `[B]`, to be traced.

    The logits of several views of an example are averaged.
    """

    def forward(variables: dict[str, Any], arrays: Any, batch: Batch) -> tuple[Array, Array]:
        data = load(arrays, batch)
        if "views" not in data:
            return logits(variables, prepare(data["input"])), data["label"]
        count, views, *shape = data["views"].shape
        flat = logits(variables, prepare(data["views"].reshape(-1, *shape)))
        return flat.reshape(count, views, -1).mean(1), data["label"]

    return forward


def make_eval_step(
    model: nn.Module,
    load: Callable[[Any, Batch], Batch],
    prepare: Callable[[Array], Array],
    tta: str = "none",
) -> Callable[[dict[str, Any], Any, Batch], Batch]:
    """Returns (variables, arrays, batch) -> outcomes of every example, to be jitted.

    Outcomes are arrays [B]: `label`, `loss` (float32 cross-entropy in nats, no smoothing),
    `prediction` (int32 class) and `rank` (int32, how many classes are ahead of the right one; of
    equal logits the lower class is ahead, as in `argmax`; a NaN counts as ahead), see
    `make_forward`; with `tta` of several views of each image, see `with_views`.
    """

    forward = make_forward(with_views(partial(infer, model), tta), load, prepare)

    def eval_step(variables: dict[str, Any], arrays: Any, batch: Batch) -> Batch:
        logits, label = forward(variables, arrays, batch)
        own = jnp.take_along_axis(logits, label[:, None], axis=1)
        lower = jnp.arange(logits.shape[1])[None, :] < label[:, None]
        ahead = ~(logits <= own) | ((logits == own) & lower)
        return {
            "label": label,
            "loss": optax.softmax_cross_entropy_with_integer_labels(logits, label),
            "prediction": logits.argmax(-1).astype(jnp.int32),
            "rank": ahead.sum(axis=1, dtype=jnp.int32),
        }

    return eval_step
