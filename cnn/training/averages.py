"""Averages of a network's variables over training steps, and lookahead."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.training.state import ModelState

S = TypeVar("S", bound=ModelState)


@dataclass(frozen=True)
class Averaging:
    """The exponential moving average of a network's variables.

    Attributes:
      decay: share of the average that one step keeps, once the ramp is over.
      ramp: how the decay gets there. "updates": at most (1 + t) / (10 + t) after t updates of the
        average, as TensorFlow's ExponentialMovingAverage(num_updates), which forgets the initial
        values sooner; "cubic": times the cube of the share of the training that is over, as in
        airbench94 (Jordan 2024); "none": from the first step.
      lookahead: steps after which the average is updated, with decay ** lookahead, and training
        continues from it (Zhang et al., NeurIPS 2019); the optimizer keeps its state. 0: the
        average is updated in each step and training never sees it.
      total_steps: of the training.
    """

    decay: float
    ramp: str = "updates"
    lookahead: int = 0
    total_steps: int = 1

    def update(self, state: S) -> S:
        """Returns the state with the average after its last step."""
        kept = self._kept(state.step.astype(jnp.float32))
        ema = blend(lambda old, x: kept * old + (1 - kept) * x, state.ema, state.current())
        if not self.lookahead:
            return state.replace(ema=ema)
        due = state.step % self.lookahead == 0
        ema, now = (
            jax.tree.map(lambda new, old: jnp.where(due, new, old), ema, old)
            for old in (state.ema, state.current())
        )
        return state.replace(ema=ema, params=now.pop("params"), collections=now)

    def _kept(self, step: Array) -> Array:
        decay = self.decay ** max(self.lookahead, 1)
        if self.ramp == "cubic":
            return decay * jnp.minimum(step / self.total_steps, 1) ** 3
        if self.ramp == "none":
            return jnp.float32(decay)
        updates = step // self.lookahead if self.lookahead else step
        return jnp.minimum(decay, (1 + updates) / (10 + updates))


def make_averaging(train: ConfigDict, total_steps: int) -> Averaging | None:
    """Returns the average of a config's train section, None without one.

    Raises:
      UserError: there is lookahead without an average.
    """
    if train.ema_decay:
        return Averaging(train.ema_decay, train.ema_ramp, train.lookahead, total_steps)
    for name, idle in (("lookahead", 0), ("ema_ramp", "updates")):
        if train[name] != idle:
            raise UserError(
                f"train.{name}: '{train[name]}' has no effect without train.ema_decay; set that "
                "(for lookahead with a slow step size of 0.5 every 5 steps to 0.5 ** (1 / 5) = "
                "0.8706)"
            )
    return None


def blend(mix: Callable[[Array, Array], Array], old: Any, new: Any) -> Any:
    """Interpolates floating-point leaves; others, such as counters, take the new value."""

    def one(a: Array, b: Array) -> Array:
        return mix(a, b) if jnp.issubdtype(b.dtype, jnp.floating) else b

    return jax.tree.map(one, old, new)
