"""What a run asks of the device, and the device that one run has to itself."""

from collections.abc import Generator, Iterator
from enum import Enum
from typing import Any

import jax

from cnn.data import EvalFeed, Split
from cnn.training.assembly import Evaluator, Trainer
from cnn.training.evaluate import Outcomes, evaluate
from cnn.training.state import TrainState

# A run yields UPDATE and is sent the sums of its next step, or a split and is sent the outcomes of
# its examples; so whoever drives runs decides which of them share a program.
UPDATE = Enum("Request", ["UPDATE"]).UPDATE
Steps = Generator[Any, Any, dict[str, Any]]


class Device:
    """Trains one run on all devices of its mesh.

    Attributes:
      row: where the run's own sums lie in those of a step; () for scalars.
    """

    row: Any = ()

    def __init__(self, evaluator: Evaluator, trainer: Trainer):
        self._evaluator, self._trainer = evaluator, trainer
        self._feeds: dict[Split, EvalFeed] = {}
        self._state: TrainState
        self._batches: Iterator[dict[str, jax.Array]]

    def begin(self, state: TrainState | None, start: int, stop: int) -> None:
        """Takes a restored state, or makes a new one (None), for the steps in [start, stop)."""
        self._state = state or self._evaluator.new_state()
        self._batches = self._trainer.feed.batches(start, stop)

    def state(self) -> TrainState:
        """Returns the state after the last step."""
        return self._state

    def drive(self, run: Steps) -> dict[str, Any]:
        """Gives a run what it asks for, until it is done; returns its result."""
        answer = None
        while True:
            try:
                request = run.send(answer)
            except StopIteration as end:
                return end.value
            answer = self.answer(request)

    def answer(self, request: Any) -> Any:
        """Does what a run asks for."""
        return self._update() if request is UPDATE else self._evaluate(request)

    def _update(self) -> dict[str, jax.Array]:
        self._state, sums = self._trainer.step(self._state, next(self._batches))
        return sums

    def _evaluate(self, split: Split) -> Outcomes:
        evaluator = self._evaluator
        if split not in self._feeds:
            self._feeds[split] = evaluator.feed(split, evaluator.config.evaluation.views)
        return evaluate(evaluator.step, self._state.variables(), self._feeds[split])
