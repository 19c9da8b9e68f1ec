"""The training state: one pytree of arrays, and its initialization."""

from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from cnn.training.streams import stream_key


class ModelState(struct.PyTreeNode):
    """A network's variables after some updates: all that evaluation needs.

    Attributes:
      step: int32 scalar, the number of updates made; the only step counter.
      params: float32 parameters.
      collections: the other collections of variables by name, such as float32 running statistics
        in "batch_stats"; {} for networks without any.
      ema: {"params"} and the collections, averaged over steps, or {} when switched off.
    """

    step: Array
    params: Any
    collections: dict[str, Any]
    ema: dict[str, Any]

    def variables(self) -> dict[str, Any]:
        """Returns the variables to evaluate with: the averaged ones where they exist."""
        return self.ema or self.current()

    def current(self) -> dict[str, Any]:
        """Returns the variables as the last update left them."""
        return {"params": self.params, **self.collections}


S = TypeVar("S", bound=ModelState)


class TrainState(ModelState):
    """Everything that one step passes to the next; contains no functions.

    Attributes:
      opt_state: of the optax transformation.
    """

    opt_state: Any


def init_model(
    model: nn.Module, seed: Array | int, input_shape: tuple[int, ...], *, ema: bool
) -> ModelState:
    """Initialises a network; traceable, so that its arrays can be created sharded.

    Args:
      model: the network.
      seed: uint32 scalar.
      input_shape: what the network sees of one example, `[*spatial, C]`.
      ema: whether to keep averaged variables.
    """
    rngs = {"params": stream_key(seed, "init"), "dropout": stream_key(seed, "dropout")}
    variables = dict(model.init(rngs, jnp.zeros((1, *input_shape)), train=False))
    # A copy: the step donates its state, and one buffer cannot be donated twice.
    average = jax.tree.map(jnp.copy, variables) if ema else {}
    params = variables.pop("params")
    return ModelState(jnp.zeros((), jnp.int32), params, collections=variables, ema=average)


def with_flipped_bit(state: S, seed: int) -> S:
    """Returns a state with the last bit of one float32 element of a kernel flipped.

    This is the smallest possible change; its effect on the result measures the instability of
    training (Summers and Dinneen 2021). Biases and scales are excluded: flipping a bit of zero
    gives a subnormal number, which devices flush to zero.

    Args:
      state: before the first step.
      seed: picks the element, each with the same chance.
    """
    leaves, tree = jax.tree.flatten(state.params)
    sizes = np.array([leaf.size if leaf.ndim > 1 else 0 for leaf in leaves])
    element = int(np.random.default_rng(seed).integers(sizes.sum()))
    chosen = int(np.searchsorted(sizes.cumsum(), element, side="right"))
    within = element - int(sizes[:chosen].sum())
    leaf = leaves[chosen]
    flip = jnp.zeros(leaf.shape, jnp.uint32).at[np.unravel_index(within, leaf.shape)].set(1)
    bits = jax.lax.bitcast_convert_type(leaf, jnp.uint32) ^ flip
    flipped = jax.lax.bitcast_convert_type(bits, leaf.dtype)
    leaves[chosen] = jax.device_put(flipped, leaf.sharding)
    params = jax.tree.unflatten(tree, leaves)
    # A copy: the step donates its state, and one buffer cannot be donated twice.
    ema = state.ema | {"params": jax.tree.map(jnp.copy, params)} if state.ema else {}
    return state.replace(params=params, ema=ema)
