"""Several seeds of one config in one program, distributed over the devices without communication.

Each replica has its own run folder and ends independently; they share the compiled update, the
compiled evaluation and the images. Replicas may start at different steps: one that is ahead
keeps its state until the others have caught up.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from cnn import data
from cnn.config.durations import is_due
from cnn.config.errors import UserError
from cnn.config.record import differences
from cnn.config.seeds import Seeds
from cnn.training.assembly import (
    Evaluator,
    make_evaluator,
    make_recipe,
    make_training_feed,
    sources,
)
from cnn.training.console import Display
from cnn.training.evaluate import Outcomes, evaluate
from cnn.training.initial import started, starting_weights
from cnn.training.interruption import InterruptedRun, Interruption
from cnn.training.memory import check_memory
from cnn.training.mesh import REPLICA_AXIS, abstract_state, make_replica_mesh, replicated
from cnn.training.plan import TrainingPlan, make_training_plan
from cnn.training.run_folder import RunFolder
from cnn.training.run_record import RunRecord
from cnn.training.schedules import make_schedule
from cnn.training.state import TrainState
from cnn.training.steps import make_eval_step, make_train_step

Ending = dict[str, Any] | Exception


def train_replicas(
    configs: Sequence[ConfigDict],
    workdirs: Sequence[str | Path],
    dataset: data.Dataset | None = None,
    alive: Callable[[], None] = lambda: None,
) -> list[Ending]:
    """Trains runs that differ only in their seeds, each as `train` would on one device.

    Args:
      configs: complete configs.
      workdirs: their run folders; finished runs are not trained again.
      dataset: instead of the one that the configs describe.
      alive: called after every step.

    Returns:
      For each run the content of result.json, or the error that ended this run.

    Raises:
      UserError: the configs differ in more than seeds, or do not fit the data.
      InterruptedRun: SIGTERM or SIGINT was received.
    """
    _check_alike(configs)
    folders = [RunFolder(workdir) for workdir in workdirs]
    endings = [_ended(folder, config) for folder, config in zip(folders, configs, strict=True)]
    open_ = [i for i, ending in enumerate(endings) if ending is None]
    if open_:
        shared = dataset or data.open_dataset(configs[0].data)
        chosen = [configs[i] for i in open_], [folders[i] for i in open_]
        for i, ending in zip(open_, _train(*chosen, shared, alive), strict=True):
            endings[i] = ending
    return endings


def _ended(folder: RunFolder, config: ConfigDict) -> Ending | None:
    """Returns how a run ended that needs no training."""
    try:
        folder.check(config)
    except UserError as error:
        return error
    return folder.result()


def _check_alike(configs: Sequence[ConfigDict]) -> None:
    if configs[0].train.flip_bit:
        raise UserError("train.flip_bit: does not work with replicas; train each run alone")
    for config in configs[1:]:
        for difference in differences(configs[0], config):
            if not difference.startswith(("seed:", "seeds.")):
                raise UserError(f"replicas differ in more than their seeds: {difference}")


def _train(
    configs: list[ConfigDict],
    folders: list[RunFolder],
    dataset: data.Dataset,
    alive: Callable[[], None],
) -> list[Ending]:
    evaluators = [make_evaluator(config, dataset, devices=1) for config in configs]
    group = ReplicaGroup(evaluators, make_training_plan(configs[0], len(dataset.train), 1))
    # Traced before anything is written, which finds what does not fit.
    check_memory(group.abstract_state(), len(configs))
    with Interruption() as interruption, ExitStack() as opened:
        endings = Loop(group, folders, opened).run(interruption, alive)
    for ending in endings:
        if isinstance(ending, InterruptedRun):
            raise ending
    return endings


class Loop:
    """The loop of `cnn.training.loop` for all replicas that have not ended.

    Args:
      group: the replicas.
      folders: of their runs.
      opened: closes what they open.
    """

    def __init__(self, group: "ReplicaGroup", folders: Sequence[RunFolder], opened: ExitStack):
        self._group, self._opened = group, opened
        self._records = [
            RunRecord(folder, Display(quiet=True), evaluator, group.plan, group.sources, row)
            for row, (folder, evaluator) in enumerate(zip(folders, group.evaluators, strict=True))
        ]
        self._endings: dict[int, Ending] = {}

    def run(self, interruption: Interruption, alive: Callable[[], None]) -> list[Ending]:
        """Runs the remaining steps and the final evaluation; returns how each run ended."""
        group, total = self._group, self._group.plan.total_steps
        state = group.stack(self._restore())
        starts = jax.device_get(state.step)
        feeds = self._open_feeds(starts)
        batches: dict[int, Any] = {}
        for step in range(min(starts) + 1, total + 1):
            rows = np.flatnonzero(starts < step)
            for row in self._going(rows):
                with self._own_end(row):
                    batches[row] = next(feeds[row])
            if going := self._going(rows):
                state, sums = group.update(state, going, batches)
                alive()
                self._report(step, going, sums)
                self._evaluate_and_save(step, going, state)
            if interruption.signal and step < total:
                self._stop(interruption.signal, np.maximum(starts, step), state)
        interruption.release()
        if interruption.signal:
            self._stop(interruption.signal, np.maximum(starts, total), state)
        return self._finish(state)

    def _going(self, rows: Iterable[int]) -> list[int]:
        """Returns the replicas among these that have not ended."""
        return [int(row) for row in rows if row not in self._endings]

    @contextmanager
    def _own_end(self, row: int) -> Iterator[None]:
        """Context in which an error ends only this replica."""
        try:
            yield
        except Exception as error:
            self._endings[row] = error

    def _restore(self) -> dict[int, TrainState]:
        restored = {}
        for row, record in enumerate(self._records):
            with self._own_end(row):
                opened = self._opened.enter_context(record)
                restored[row] = opened.restore(self._group.abstract_state())
        return {row: state for row, state in restored.items() if state}

    def _open_feeds(self, starts: np.ndarray) -> list[Iterator[dict[str, np.ndarray]]]:
        for row in self._going(range(len(starts))):
            self._opened.enter_context(self._records[row].progress(int(starts[row])))
        total = self._group.plan.total_steps
        feeds = zip(self._group.feeds, starts.tolist(), strict=True)
        return [self._opened.enter_context(closing(f.values(start, total))) for f, start in feeds]

    def _report(self, step: int, rows: list[int], sums: Any) -> None:
        plan = self._group.plan
        for row in rows:
            with self._own_end(row):
                self._records[row].add(step, sums)
                if is_due(step, plan.log_every, plan.total_steps):
                    self._records[row].report(step)

    def _evaluate_and_save(self, step: int, rows: list[int], state: TrainState) -> None:
        plan, validation = self._group.plan, self._group.dataset.validation
        outcomes = None
        with ExitStack() as paused:
            for row in rows:
                paused.enter_context(self._records[row].not_training())
            if validation and is_due(step, plan.evaluate_every, plan.total_steps):
                outcomes = self._group.evaluate(state, validation)
            for row in self._going(rows):
                with self._own_end(row):
                    record = self._records[row]
                    if outcomes:
                        record.validate(step, outcomes[row])
                    if record.is_save_due(step):
                        record.save(step, self._group.state_of(row, state))

    def _stop(self, signal: int, steps: np.ndarray, state: TrainState) -> None:
        for row in self._going(range(len(steps))):
            with self._own_end(row):
                self._records[row].save(int(steps[row]), self._group.state_of(row, state))
                self._records[row].wait()
                raise InterruptedRun(signal, int(steps[row]))

    def _finish(self, state: TrainState) -> list[Ending]:
        rows = range(len(self._records))
        for row in self._going(rows):
            with self._own_end(row):
                self._records[row].wait()
        if going := self._going(rows):
            outcomes = self._group.evaluate(state, self._group.dataset.test)
            for row in going:
                with self._own_end(row):
                    self._endings[row] = self._records[row].finish(outcomes[row])
        return [self._endings[row] for row in rows]


class ReplicaGroup:
    """Replicas on a mesh: states stacked along its axis, as many on each device.

    Args:
      evaluators: of the replicas, on one device each.
      plan: of all of them.

    Attributes:
      dataset: of all of them.
      feeds: their training batches, over the same arrays.
      start: the weights that all start from.
      sources: those and others from elsewhere, by the field that names them.
    """

    def __init__(self, evaluators: Sequence[Evaluator], plan: TrainingPlan):
        first, count = evaluators[0], len(evaluators)
        mesh = make_replica_mesh(count)
        self.evaluators, self.plan, self.dataset = evaluators, plan, first.dataset
        self.start = starting_weights(first.config, first.abstract_state(), first.dataset)
        self._whole = replicated(mesh)
        self._stacked = NamedSharding(mesh, PartitionSpec(REPLICA_AXIS))
        feed = make_training_feed(first, plan, self._whole, self._whole)
        seeds = [Seeds.of(evaluator.config) for evaluator in evaluators]
        self.feeds = [feed.reseeded(own.order, own.augment) for own in seeds]
        self._seeds = jax.device_put(
            Seeds(*(np.array(values, np.uint32) for values in zip(*seeds, strict=True))),
            self._stacked,
        )
        each = partial(_spread, mesh, count // mesh.size)
        own, all_ = PartitionSpec(REPLICA_AXIS), PartitionSpec()
        schedule = make_schedule(first.config.schedule, plan)
        recipe = make_recipe(first, schedule, feed.cropped, plan.total_steps)
        self.sources = sources(self.start, recipe)
        step, shape = make_train_step(recipe), first.dataset.input_shape
        self._init_one = partial(recipe.init, input_shape=shape)
        self._init = jax.jit(each(self._init_one, (own,), own))
        update = each(_held_back(step), (own, own, all_, own, own), own)
        self._update = jax.jit(update, donate_argnums=0)
        prepare, tta = first.dataset.signal.prepare, first.config.evaluation.tta
        outcome = make_eval_step(first.model, data.load_batch, prepare, tta)
        # The examples come first, as `evaluate` lays batches end to end.
        examples_first = PartitionSpec(None, REPLICA_AXIS)
        self._outcome = jax.jit(each(outcome, (own, all_, all_), examples_first))
        self._eval_feeds: dict[data.Split, data.EvalFeed] = {}

    def abstract_state(self) -> TrainState:
        """Returns shapes, dtypes and shardings of one replica's state, as a run alone has it."""
        return abstract_state(self._init_one, self.evaluators[0].mesh)

    def stack(self, restored: dict[int, TrainState]) -> TrainState:
        """Returns the states of all replicas: some restored ones, and new ones for the rest."""
        state = started(self._init(self._seeds.init), self.start)
        if not restored:
            return state

        def put(fresh: np.ndarray, *own: np.ndarray) -> np.ndarray:
            values = np.array(fresh)
            for row, value in zip(restored, own, strict=True):
                values[row] = value
            return values

        stacked = jax.tree.map(put, *jax.device_get((state, *restored.values())))
        return jax.device_put(stacked, self._stacked)

    def state_of(self, row: int, state: TrainState) -> TrainState:
        """Returns one replica's state, as a run alone holds it."""
        own = jax.tree.map(partial(_row_of, row=row), state)
        return jax.device_put(own, replicated(self.evaluators[row].mesh))

    def update(
        self, state: TrainState, rows: list[int], batches: dict[int, Any]
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """Makes one update of some replicas; returns the states and the sums of all, `[replicas]`.

        Args:
          state: of all; it is consumed.
          rows: the replicas that take part; the others keep their states.
          batches: of these and maybe of others.
        """
        # A resting replica needs some batch as an argument.
        spare = batches[rows[0]]
        each = [batches.get(row, spare) for row in range(len(self.evaluators))]
        batch = jax.tree.map(lambda *parts: np.stack(parts), *each)
        taking = np.isin(np.arange(len(each)), rows)
        batch, taking = jax.device_put((batch, taking), self._stacked)
        return self._update(state, self._seeds, self.feeds[0].arrays, batch, taking)

    def evaluate(self, state: TrainState, split: data.Split) -> list[Outcomes]:
        """Runs every replica over a split; returns the outcomes of each."""
        if split not in self._eval_feeds:
            first = self.evaluators[0]
            views = first.config.evaluation.views
            self._eval_feeds[split] = first.feed(split, views, self._whole)
        all_ = evaluate(self._outcome, state.variables(), self._eval_feeds[split])
        rows = range(len(self.evaluators))
        return [{name: value[:, row] for name, value in all_.items()} for row in rows]


def _held_back(step: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the step with one more argument: whether the new state is to be taken."""

    def held_back(state: TrainState, seeds: Seeds, arrays: Any, batch: Any, taking: jax.Array):
        new, sums = step(state, seeds, arrays, batch)
        return jax.tree.map(partial(jnp.where, taking), new, state), sums

    return held_back


def _spread(
    mesh: jax.sharding.Mesh,
    each: int,
    function: Callable[..., Any],
    specs: tuple[PartitionSpec, ...],
    out: PartitionSpec,
) -> Callable[..., Any]:
    """Spreads a function of one replica over the mesh; `each` replicas on a device take turns.

    Sequential execution by `lax.map` keeps the operators of a single run. `vmap` would turn
    every convolution into a grouped one, as each replica has its own kernels.
    """
    axis = out.index(REPLICA_AXIS)
    owned = [spec != PartitionSpec() for spec in specs]

    def local(*arguments: Any) -> Any:
        def one(own: list[Any]) -> Any:
            rest = iter(own)
            whole = zip(arguments, owned, strict=True)
            return function(*(next(rest) if mine else value for value, mine in whole))

        own = [value for value, mine in zip(arguments, owned, strict=True) if mine]
        if each == 1:
            result = one(jax.tree.map(lambda x: x[0], own))
            return jax.tree.map(lambda x: jnp.expand_dims(x, axis), result)
        return jax.tree.map(lambda x: jnp.moveaxis(x, 0, axis), jax.lax.map(one, own))

    return jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=out, check_vma=False)


def _row_of(stacked: jax.Array, row: int) -> np.ndarray:
    for shard in stacked.addressable_shards:
        first = shard.index[0].start or 0
        if first <= row < first + shard.data.shape[0]:
            # A copy: the next step may write into the memory that a view would show.
            return np.array(shard.data)[row - first]
    raise IndexError(row)
