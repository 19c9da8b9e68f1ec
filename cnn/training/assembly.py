"""A config and a data set -> the network, its jitted steps and its state: what every tool runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from ml_collections import ConfigDict

from cnn import data, models
from cnn.config.errors import UserError
from cnn.config.seeds import Seeds
from cnn.data.augmentation import Augment
from cnn.training.averages import make_averaging
from cnn.training.distillation import make_teacher
from cnn.training.initial import Start, started, starting_weights
from cnn.training.losses import make_loss
from cnn.training.memory import check_memory
from cnn.training.mesh import (
    abstract_state,
    batch_sharding,
    make_mesh,
    new_state,
    replicated,
    shardings_of,
)
from cnn.training.optimizer import make_optimizer
from cnn.training.plan import TrainingPlan
from cnn.training.schedules import Schedule, make_schedule
from cnn.training.sharpness import make_ascent
from cnn.training.state import ModelState, TrainState, init_model, with_flipped_bit
from cnn.training.steps import Recipe, make_eval_step, make_train_step


@dataclass(frozen=True)
class Evaluator:
    """A network on a mesh, ready to evaluate splits.

    Attributes:
      step: jitted (variables, arrays, batch) -> outcomes.
    """

    config: ConfigDict
    dataset: data.Dataset
    mesh: Mesh
    model: nn.Module
    step: Callable[..., dict[str, Array]] = field(repr=False)

    def feed(
        self, split: data.Split, views: int = 1, sharding: NamedSharding | None = None
    ) -> data.EvalFeed:
        """Returns the batches of a split.

        Args:
          split: of the data set.
          views: of each example.
          sharding: of the batch axis; None: over the mesh.

        Raises:
          UserError: there are fewer views, or the placement is not possible.
        """
        size = self.config.evaluation.batch_size
        several = self.dataset.signal.views(views) if views > 1 else None
        placed = sharding or batch_sharding(self.mesh)
        return data.make_eval_feed(split, self.config.data, placed, size, several)

    def new_state(self) -> ModelState:
        """Returns the initial variables, created with their final sharding."""
        return new_state(self.init, self.mesh, np.uint32(Seeds.of(self.config).init))

    def abstract_state(self) -> ModelState:
        """Returns the shapes, dtypes and shardings of the variables; checkpoints restore into it.

        Nothing is computed: shape errors are found by tracing.
        """
        return abstract_state(self.init, self.mesh)

    def init(self, seed: Array) -> ModelState:
        """Returns the variables of an init seed before the first step; to be traced."""
        ema = keeps_average(self.config)
        return init_model(self.model, seed, self.dataset.input_shape, ema=ema)


def keeps_average(config: ConfigDict) -> bool:
    """Whether a run evaluates averaged variables instead of the last update's.

    Raises:
      UserError: it would average twice.
    """
    decay, free = config.train.ema_decay, config.optimizer.schedule_free
    if decay and free:
        raise UserError(
            f"train.ema_decay: {decay} conflicts with optimizer.schedule_free={free}, which has an "
            "average of its own; leave one of them out"
        )
    return bool(decay or free)


def make_evaluator(
    config: ConfigDict, dataset: data.Dataset, devices: int | None = None
) -> Evaluator:
    """Builds what is needed to evaluate checkpoints of a config on a data set.

    Args:
      config: a complete config.
      dataset: its data.
      devices: instead of `mesh.devices`.

    Raises:
      UserError: there are fewer devices than `mesh.devices`, or no such network.
    """
    examples = config.train.batch_size // config.train.accumulation
    asked = config.mesh.devices if devices is None else devices
    mesh = make_mesh(asked, examples, config.mesh.fsdp)
    model = models.build(config.model, dataset.num_classes)
    tta = config.evaluation.tta
    outcomes = make_eval_step(model, data.load_batch, dataset.signal.prepare, tta)
    step = jax.jit(outcomes, out_shardings=batch_sharding(mesh))
    return Evaluator(config=config, dataset=dataset, mesh=mesh, model=model, step=step)


@dataclass(frozen=True)
class Trainer:
    """Batches of the training split, and the update they feed.

    Attributes:
      evaluator: the network.
      plan: durations in steps.
      recipe: what the update is made of.
      feed: batches by step.
      seeds: uint32 scalars on the mesh.
      start: the weights to start from.
      update: jitted (state, seeds, arrays, batch) -> (state, sums); it consumes the state.
    """

    evaluator: Evaluator
    plan: TrainingPlan
    recipe: Recipe
    feed: data.Feed
    seeds: Seeds
    start: Start
    update: Callable[..., tuple[TrainState, dict[str, Array]]] = field(repr=False)

    @property
    def sources(self) -> dict[str, Start]:
        """The weights from elsewhere, by the field that names them."""
        return sources(self.start, self.recipe)

    def new_state(self) -> TrainState:
        """Returns the initial state, its arrays created with their final sharding."""
        config = self.evaluator.config
        state = started(new_state(self.init, self.evaluator.mesh, self.seeds.init), self.start)
        return with_flipped_bit(state, config.seed) if config.train.flip_bit else state

    def abstract_state(self) -> TrainState:
        """Returns the shapes, dtypes and shardings of a state; checkpoints restore into it."""
        return abstract_state(self.init, self.evaluator.mesh)

    def init(self, seed: Array) -> TrainState:
        """Returns the state of an init seed before the first step; to be traced."""
        return self.recipe.init(seed, self.evaluator.dataset.input_shape)

    def step(self, state: TrainState, batch: Any) -> tuple[TrainState, dict[str, Array]]:
        """Makes one update."""
        return self.update(state, self.seeds, self.feed.arrays, batch)


def make_trainer(evaluator: Evaluator, plan: TrainingPlan) -> Trainer:
    """Builds what trains the evaluator's network.

    Raises:
      UserError: an augmentation does not fit the examples, a data field the split, or the weights
        to start from the network.
      OutOfMemoryError: the state does not fit the memory.
    """
    mesh, dataset = evaluator.mesh, evaluator.dataset
    _check_sizes(evaluator)
    feed = make_training_feed(evaluator, plan, batch_sharding(mesh), replicated(mesh))
    schedule = make_schedule(evaluator.config.schedule, plan)
    recipe = make_recipe(evaluator, schedule, feed.cropped, plan.total_steps)
    seeds = jax.device_put(Seeds(*map(np.uint32, Seeds.of(evaluator.config))), replicated(mesh))
    # Traced here, which finds what does not fit before anything is written.
    like = abstract_state(partial(recipe.init, input_shape=dataset.input_shape), mesh)
    check_memory(like)
    return Trainer(
        evaluator=evaluator,
        plan=plan,
        recipe=recipe,
        feed=feed,
        seeds=seeds,
        start=starting_weights(evaluator.config, evaluator.abstract_state(), dataset),
        update=make_update(recipe, mesh, like),
    )


def make_update(
    recipe: Recipe, mesh: Mesh, like: TrainState
) -> Callable[..., tuple[TrainState, dict[str, Array]]]:
    """Returns the jitted update of a recipe; it consumes a state like the given abstract one."""
    places = shardings_of(like), replicated(mesh)
    update = jax.jit(make_train_step(recipe), donate_argnums=0, out_shardings=places)
    if recipe.teacher is None:
        return update
    return partial(update, teacher=jax.device_put(recipe.teacher.variables, replicated(mesh)))


def sources(start: Start, recipe: Recipe) -> dict[str, Start]:
    """Returns the weights that a run loads from elsewhere, by the field that names them."""
    teacher = recipe.teacher and recipe.teacher.source
    return {"init_from": start} | ({"distillation.teacher": teacher} if teacher else {})


def _check_sizes(evaluator: Evaluator) -> None:
    """Refuses sizes of images that the network does not take; nothing is computed."""
    sizes = evaluator.config.augment.sizes
    variables = evaluator.abstract_state().variables() if sizes else {}
    for size in sizes:
        x = jax.ShapeDtypeStruct((1, size, size, evaluator.dataset.input_shape[-1]), np.float32)
        try:
            jax.eval_shape(lambda v, x: evaluator.model.apply(v, x, train=False), variables, x)
        except Exception as error:
            raise UserError(
                f"augment.sizes: {evaluator.config.model.name} does not take {size}x{size} pixels "
                f"({str(error).splitlines()[0]}); choose another model.head, or other sizes"
            ) from error


def make_training_feed(
    evaluator: Evaluator, plan: TrainingPlan, sharding: NamedSharding, whole: NamedSharding
) -> data.Feed:
    """Returns the training batches, the batch axis and a resident split placed as given.

    Raises:
      UserError: an augmentation does not fit the examples, or a data field the split.
    """
    config, dataset, seeds = evaluator.config, evaluator.dataset, Seeds.of(evaluator.config)
    signal = dataset.signal
    signal.check(config.augment)
    return data.make_feed(
        dataset.train,
        config.data,
        sharding,
        whole,
        config.train.batch_size,
        seeds.order,
        signal.draw_crops(config.augment, dataset.train.varying),
        seeds.augment,
        config.augment.repeats,
        config.augment.alternate,
        tuple(zip((0, *plan.size_boundaries), config.augment.sizes, strict=False)),
    )


def make_recipe(
    evaluator: Evaluator, schedule: Schedule, cropped: bool, total_steps: int
) -> Recipe:
    """Returns what one update of the network is made of; `cropped` as its feed says."""
    config, dataset = evaluator.config, evaluator.dataset
    if config.train.remat and config.model.temporal_head:
        raise UserError(
            "train.remat: saves nothing with model.temporal_head, which is one block for the "
            "whole network; leave it out"
        )
    augment = dataset.signal.make_augment(config.augment, dataset.num_classes, cropped=cropped)
    _check_traces(augment, dataset.signal.example)
    return Recipe(
        model=evaluator.model,
        tx=make_optimizer(config.optimizer, config.train.clip_norm, schedule),
        load=data.load_batch,
        augment=augment,
        accumulation=config.train.accumulation,
        loss=make_loss(config.train),
        averaging=make_averaging(config.train, total_steps),
        teacher=make_teacher(config, dataset),
        consistency=config.augment.consistency,
        ascend=make_ascent(config.optimizer.ascent),
        averages=config.optimizer.schedule_free > 0,
        remat=config.train.remat,
    )


def _check_traces(augment: Augment, example: jax.ShapeDtypeStruct) -> None:
    """Traces the augmentation once, for the errors of its operations, before a run is written."""
    pair = jax.ShapeDtypeStruct((2, *example.shape), example.dtype)
    labels = jax.ShapeDtypeStruct((2,), jnp.int32)
    jax.eval_shape(augment, jax.random.key(0), pair, labels)
