"""Several seeds of one config in one program: spread over the devices, with nothing between them.

Every replica is a `Run` of its own, with its own folder and its own end; they share the compiled
update, the compiled evaluation and the images. Replicas may stand at different steps: one that
does not take part in an update keeps its state.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from cnn import data
from cnn.config.errors import UserError
from cnn.config.record import differences
from cnn.config.seeds import Seeds
from cnn.training.assembly import Evaluator, make_evaluator, make_feed, make_recipe
from cnn.training.console import Display
from cnn.training.device import UPDATE
from cnn.training.evaluate import Outcomes, evaluate
from cnn.training.interruption import InterruptedRun, Interruption
from cnn.training.loop import Run
from cnn.training.mesh import REPLICA_AXIS, make_replica_mesh, replicated
from cnn.training.plan import Plan, resolve
from cnn.training.run_folder import RunFolder
from cnn.training.state import TrainState
from cnn.training.steps import make_eval_step, make_train_step

Ending = dict[str, Any] | Exception


def train_replicas(
    configs: Sequence[ConfigDict],
    workdirs: Sequence[str | Path],
    dataset: data.Dataset | None = None,
    alive: Callable[[], None] = lambda: None,
) -> list[Ending]:
    """Trains runs that differ in their seeds alone, each as `train` would on one device.

    Args:
      configs: complete configs.
      workdirs: their run folders; finished runs are not trained again.
      dataset: instead of the one that the configs describe.
      alive: called after every step.

    Returns:
      For each run what result.json holds, or the error that ended it and no other.

    Raises:
      UserError: the configs differ in more, or the data do not go with them.
      InterruptedRun: SIGTERM or SIGINT came.
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
    """Returns the ending of a run that is not to be trained."""
    try:
        folder.check(config)
    except UserError as error:
        return error
    return folder.result()


def _check_alike(configs: Sequence[ConfigDict]) -> None:
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
    plan = resolve(configs[0], len(dataset.train), 1)
    group = Group(evaluators, plan)
    with Interruption() as interruption:
        runs = [
            Run(folder, Display(quiet=True), evaluator, seat, plan, interruption, alive)
            for folder, evaluator, seat in zip(folders, evaluators, group.seats, strict=True)
        ]
        endings = group.drive([run.steps() for run in runs])
    for ending in endings:
        if isinstance(ending, InterruptedRun):
            raise ending
    return endings


class Seat:
    """A replica's place in a group; what `Device` is to a run alone.

    Attributes:
      row: its place.
    """

    def __init__(self, group: "Group", row: int):
        self._group, self.row = group, row
        self.restored: TrainState | None = None
        self.values: Iterator[dict[str, np.ndarray]]

    def begin(self, state: TrainState | None, start: int, stop: int) -> None:
        """Takes a restored state, or none, for the steps in [start, stop)."""
        self.restored = state
        self.values = self._group.feeds[self.row].values(start, stop)

    def state(self) -> TrainState:
        """Returns the state after the last step, on one device."""
        return self._group.state(self.row)


class Group:
    """Replicas on a mesh: states stacked along its axis, as many on each device.

    Args:
      evaluators: of the replicas, on one device each.
      plan: of all of them.

    Attributes:
      seats: places of the replicas.
      feeds: their training batches, over the same arrays.
    """

    def __init__(self, evaluators: Sequence[Evaluator], plan: Plan):
        first, count = evaluators[0], len(evaluators)
        mesh = make_replica_mesh(count)
        self._evaluator, self._whole = first, replicated(mesh)
        self._stacked = NamedSharding(mesh, PartitionSpec(REPLICA_AXIS))
        feed = make_feed(first, self._whole, self._whole)
        seeds = [Seeds.of(evaluator.config) for evaluator in evaluators]
        self.feeds = [feed.reseeded(own.order, own.augment) for own in seeds]
        self.seats = [Seat(self, row) for row in range(count)]
        self._seeds = jax.device_put(
            Seeds(*(np.array(values, np.uint32) for values in zip(*seeds, strict=True))),
            self._stacked,
        )
        each = partial(_spread, mesh, count // mesh.size)
        own, all_ = PartitionSpec(REPLICA_AXIS), PartitionSpec()
        step = make_train_step(make_recipe(first, plan, feed.cropped))
        self._init = jax.jit(each(first.init, (own,), own))
        update = each(_held_back(step), (own, own, all_, own, own), own)
        self._update = jax.jit(update, donate_argnums=0)
        outcome = make_eval_step(first.model, data.load, first.dataset.signal.prepare)
        # The examples come first, as `evaluate` lays batches end to end.
        examples_first = PartitionSpec(None, REPLICA_AXIS)
        self._outcome = jax.jit(each(outcome, (own, all_, all_), examples_first))
        self._eval_feeds: dict[data.Split, data.EvalFeed] = {}
        self._state: TrainState
        self._batch: list[Any] = [None] * count

    def state(self, row: int) -> TrainState:
        """Returns one replica's state, as a run alone holds it."""
        own = jax.tree.map(partial(_row_of, row=row), self._state)
        return jax.device_put(own, replicated(self._evaluator.mesh))

    def drive(self, runs: list[Any]) -> list[Ending]:
        """Gives runs what they ask for, until all have ended, each in its own way."""
        endings: list[Any] = [None] * len(runs)
        asked: dict[int, Any] = {}

        def send(row: int, answer: Any) -> None:
            asked.pop(row, None)
            try:
                asked[row] = runs[row].send(answer)
            except StopIteration as end:
                endings[row] = end.value
            except Exception as error:
                endings[row] = error

        for row in range(len(runs)):
            send(row, None)
        self.assemble()
        while asked:
            for row, answer in self._serve(asked).items():
                send(row, answer)
        return endings

    def _serve(self, asked: dict[int, Any]) -> dict[int, Any]:
        """Answers those that ask for an update, or, when nobody does, for the same split."""
        updates = [row for row, request in asked.items() if request is UPDATE]
        if updates:
            sums = self.step(updates)
            return dict.fromkeys(updates, sums)
        split = next(iter(asked.values()))
        outcomes = self._evaluate(split)
        return {
            row: {name: value[:, row] for name, value in outcomes.items()}
            for row, request in asked.items()
            if request is split
        }

    def assemble(self) -> None:
        """Stacks the states that the seats were given, and new ones for the rest."""
        self._state = self._init(self._seeds.init)
        restored = {s.row: jax.device_get(s.restored) for s in self.seats if s.restored}
        if not restored:
            return

        def stack(fresh: jax.Array, *own: np.ndarray) -> np.ndarray:
            values = np.array(fresh)
            for row, value in zip(restored, own, strict=True):
                values[row] = value
            return values

        stacked = jax.tree.map(stack, jax.device_get(self._state), *restored.values())
        self._state = jax.device_put(stacked, self._stacked)
        for seat in self.seats:
            seat.restored = None

    def step(self, rows: list[int]) -> dict[str, jax.Array]:
        """Makes one update of some replicas; returns the sums of all, `[replicas]`."""
        for row in rows:
            self._batch[row] = next(self.seats[row].values)
        # A replica that rests has to be handed something.
        spare = self._batch[rows[0]]
        batches = [spare if batch is None else batch for batch in self._batch]
        batch = jax.tree.map(lambda *parts: np.stack(parts), *batches)
        taking = np.isin(np.arange(len(self.seats)), rows)
        batch, taking = jax.device_put((batch, taking), self._stacked)
        arrays = self.feeds[0].arrays
        self._state, sums = self._update(self._state, self._seeds, arrays, batch, taking)
        return sums

    def _evaluate(self, split: data.Split) -> Outcomes:
        if split not in self._eval_feeds:
            config, signal = self._evaluator.config, self._evaluator.dataset.signal
            size, views = config.evaluation.batch_size, config.evaluation.views
            several = signal.views(views) if views > 1 else None
            self._eval_feeds[split] = data.make_eval_feed(
                split, config.data, self._whole, size, several
            )
        return evaluate(self._outcome, self._state.variables(), self._eval_feeds[split])


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

    Turns, by `lax.map`, leave the operators as they are in a run alone. `vmap` would make every
    convolution a grouped one, as each replica has its own kernels.
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
