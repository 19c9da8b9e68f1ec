"""A loop over identical consecutive blocks that is compiled once."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


def scanned(parent: nn.Module, block: nn.Module, names: Sequence[str], x: Array) -> Array:
    """Applies blocks that differ only in their variables, in training mode, by `jax.lax.scan`.

    XLA compiles the block once. The variables keep their structure in the parent's collections, so
    checkpoints, optimizers and evaluation are unaffected.

    Args:
      parent: module bound to the initialised variables of the blocks.
      block: any of them, unbound, without random numbers and called as `block(x, train)`.
      names: of the blocks, in order.
      x: input of the first block `[B, *spatial, C]`, of the same shape as every output.

    Returns:
      The output of the last block.
    """
    collections = {
        collection: _stack([tree[name] for name in names])
        for collection, tree in parent.variables.items()
        if names[0] in tree
    }

    states = collections.keys() - {"params"}
    changing = sorted(name for name in states if parent.is_mutable_collection(name))

    def body(x: Array, variables: dict[str, Any]) -> tuple[Array, Any]:
        return block.apply(variables, x, True, mutable=changing)

    x, updates = jax.lax.scan(body, x, collections)
    for collection, stacked in updates.items():
        for i, name in enumerate(names):
            own = jax.tree.map(lambda values, i=i: values[i], stacked)
            parent.put_variable(collection, name, own)
    return x


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
