"""What training changes: one pytree of arrays, and how it is born."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array

from cnn.training.streams import stream_key


class TrainState(struct.PyTreeNode):
    """Everything that one step hands to the next; no functions inside.

    Attributes:
      step: int32 scalar, the number of updates made: the only clock.
      params: float32 parameters.
      batch_stats: float32 running statistics ({} for networks without them).
      opt_state: of the optax transformation.
      ema: {"params", "batch_stats"} averaged over steps, or {} when switched off.
    """

    step: Array
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any

    def variables(self) -> dict[str, Any]:
        """Returns the variables to evaluate with: the averaged ones where they exist."""
        return self.ema or {"params": self.params, "batch_stats": self.batch_stats}


def create_state(
    model: nn.Module,
    tx: optax.GradientTransformation,
    seed: Array | int,
    input_shape: tuple[int, ...],
    *,
    ema: bool,
) -> TrainState:
    """Initialises a state; traceable, so that its arrays can be born sharded.

    Args:
      model: the network.
      tx: the optimizer.
      seed: uint32 scalar.
      input_shape: what the network sees of one example, `[*spatial, C]`.
      ema: whether to keep averaged variables.
    """
    rngs = {"params": stream_key(seed, "init"), "dropout": stream_key(seed, "dropout")}
    variables = model.init(rngs, jnp.zeros((1, *input_shape)), train=False)
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=tx.init(params),
        # A copy: the step donates its state, and one buffer cannot be donated twice.
        ema=jax.tree.map(jnp.copy, {"params": params, "batch_stats": batch_stats}) if ema else {},
    )
