"""An arm before training: the time of a step, and whether another arm is the same function."""

import math
import time
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import jax
import numpy as np

from cnn import models
from cnn.config.errors import UserError
from cnn.config.fields import leaves
from cnn.config.load import Loaded
from cnn.config.record import FREE_FIELDS
from cnn.cost.timing import seconds_in_turns
from cnn.data import Dataset
from cnn.training.assembly import Evaluator, Trainer, make_evaluator, make_trainer
from cnn.training.mesh import replicated
from cnn.training.plan import TrainingPlan, make_training_plan
from cnn.training.state import TrainState

REPEATS = 5  # timed steps of each arm
_SAME = 1e-4  # relative: two compilations of one function differ by less, two functions by more
# Fields that affect evaluation and logging only.
_WATCHING = ("evaluation.", "log.")


class Probe:
    """One arm, built and compiled, with the time that this took.

    Raises:
      UserError: its fields are inconsistent, or do not fit the data.
    """

    def __init__(self, loaded: Loaded, dataset: Dataset):
        self.config = loaded.config
        self.evaluator: Evaluator = make_evaluator(loaded.config, dataset)
        mesh = self.evaluator.mesh
        self.plan: TrainingPlan = make_training_plan(loaded.config, len(dataset.train), mesh.size)
        self.trainer: Trainer = make_trainer(self.evaluator, self.plan)
        self._batch = next(iter(self.trainer.feed.batches(0, 1)))
        self._held_out = self.evaluator.feed(dataset.validation or dataset.train)
        self._eval_batch = next(iter(self._held_out.batches()))
        self._state: TrainState = self.trainer.new_state()
        self.start = jax.device_get(self._state)
        begun = time.perf_counter()
        jax.block_until_ready((self.step(), self.evaluate()))
        self.compile_seconds = time.perf_counter() - begun

    def step(self) -> Any:
        """Makes one training step."""
        self._state, sums = self.trainer.step(self._state, self._batch)
        return sums

    def evaluate(self) -> Any:
        """Evaluates one batch."""
        return self._outcome(self._state)

    def _outcome(self, state: TrainState) -> dict[str, jax.Array]:
        return self.evaluator.step(state.variables(), self._held_out.arrays, self._eval_batch)

    def answers(self, leaves_of_state: list[np.ndarray]) -> list[np.ndarray]:
        """The state after one step (which depends on the gradients), and the losses of a batch.

        Args:
          leaves_of_state: arrays of a state of the same shapes, possibly another arm's.
        """
        structure = jax.tree.structure(self.start)
        state = jax.device_put(
            jax.tree.unflatten(structure, leaves_of_state), replicated(self.evaluator.mesh)
        )
        outcome = self._outcome(state)["loss"]
        state, sums = self.trainer.step(state, self._batch)
        return jax.device_get([*jax.tree.leaves(state), sums["loss"], outcome])


@dataclass(frozen=True)
class ArmTime:
    """Expected times of an arm, in seconds.

    Attributes:
      compile: of its programs, once for all seeds.
      step: one training step.
      run: one training with its evaluations, without compilation and checkpoints.
    """

    compile: float
    step: float
    run: float


def time_arms(probes: dict[str, Probe], dataset: Dataset) -> dict[str, ArmTime]:
    """Times a few real steps of every arm, in turns."""
    steps = seconds_in_turns({name: p.step for name, p in probes.items()}, REPEATS)
    evaluations = seconds_in_turns({name: p.evaluate for name, p in probes.items()}, REPEATS)
    return {
        name: ArmTime(
            compile=probe.compile_seconds,
            step=steps[name],
            run=probe.plan.total_steps * steps[name]
            + _evaluated_batches(probe, dataset) * evaluations[name],
        )
        for name, probe in probes.items()
    }


def _evaluated_batches(probe: Probe, dataset: Dataset) -> int:
    size, plan = probe.config.evaluation.batch_size, probe.plan
    evaluations = math.ceil(plan.total_steps / plan.evaluate_every) if plan.evaluate_every else 1
    validation = math.ceil(len(dataset.validation) / size) if dataset.validation else 0
    return evaluations * validation + math.ceil(len(dataset.test) / size)


def same_functions(probes: dict[str, Probe]) -> list[tuple[str, str, str]]:
    """Returns (arm, other arm, why) for arms that train the same function by the same recipe.

    Either their resolved configs are equal, or they compute the same outputs and gradients from the
    same parameters.
    """
    found, answered = [], {name: {} for name in probes}
    for one, other in combinations(probes, 2):
        a, b = probes[one], probes[other]
        if _recipe(a) != _recipe(b):
            continue
        if _network(a) == _network(b):
            found.append((one, other, "their configs say the same"))
        elif _shapes(a) == _shapes(b):
            numbers = jax.tree.leaves(a.start)
            for name in (one, other):
                if one not in answered[name]:
                    answered[name][one] = probes[name].answers(numbers)
            if _agree(answered[one][one], answered[other][one]):
                why = "from the same weights they give the same outputs and gradients"
                found.append((one, other, why))
    return found


def _recipe(probe: Probe) -> dict[str, Any]:
    return {
        name: value
        for name, value in leaves(probe.config)
        if not name.startswith(("model.", *_WATCHING)) and name not in FREE_FIELDS
    }


def _network(probe: Probe) -> dict[str, Any]:
    return dict(leaves(models.resolve(probe.config.model)))


def _shapes(probe: Probe) -> list[tuple[tuple[int, ...], str]]:
    return [(np.shape(x), str(np.asarray(x).dtype)) for x in jax.tree.leaves(probe.start)]


def _agree(mine: list[np.ndarray], theirs: list[np.ndarray]) -> bool:
    for a, b in zip(mine, theirs, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if not np.abs(a - b).max(initial=0) <= _SAME * np.abs(a).max(initial=0):
            return False
    return True


def probe_arms(
    loaded: dict[str, Loaded], dataset: Dataset
) -> tuple[dict[str, Probe], dict[str, str]]:
    """Builds and compiles every arm.

    Returns:
      The arms that work, and one sentence for each that does not.
    """
    probes, broken = {}, {}
    for name, one in loaded.items():
        try:
            probes[name] = Probe(one, dataset)
        except UserError as error:
            broken[name] = str(error)
        except Exception as error:
            broken[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return probes, broken
