"""A training that starts from the weights of another run, or of an import."""

from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.training.state import ModelState
from cnn.training.stored_weights import StoredWeights, read_weights

S = TypeVar("S", bound=ModelState)
Taken = Mapping[str, np.ndarray]

_HEAD = "params/head/classifier/"
_SHOWN = 3


def starting_weights(config: ConfigDict, born: ModelState) -> Taken:
    """Returns the variables that a training starts from, by path; {}: it starts as it was born.

    Parameters and batch statistics are taken from the checkpoint that `config.init_from` names, the
    averaged ones where it has them; with `init_head=new` all but those of the classifier.

    Args:
      config: of the training.
      born: shapes of its state.

    Raises:
      UserError: they are of another network, or of other classes without `init_head=new`.
    """
    if not config.init_from:
        if config.init_head != "keep":
            raise UserError("init_head: has no effect without init_from; leave it out")
        return {}
    stored = read_weights(config.init_from, "init_from")
    wanted = {_name(path): leaf for path, leaf in _leaves(born.current())}
    found = {_name(path): leaf for path, leaf in _leaves(stored.variables)}
    if config.init_head == "new":
        wanted, found = (
            {name: leaf for name, leaf in side.items() if not name.startswith(_HEAD)}
            for side in (wanted, found)
        )
    _check(config, stored, wanted, found)
    return found


def started(state: S, taken: Taken) -> S:
    """Returns a state with the variables that `starting_weights` took, its averages included.

    Leaves with an axis more, of replicas, get the same values in each row.
    """
    if not taken:
        return state

    def put(path: Any, leaf: jax.Array) -> jax.Array:
        value = taken.get(_name(path))
        if value is None:
            return leaf
        return jax.device_put(np.broadcast_to(value, leaf.shape), leaf.sharding)

    current = jax.tree_util.tree_map_with_path(put, state.current())
    # A copy: the step donates its state, and one buffer cannot be donated twice.
    ema = jax.tree.map(jnp.copy, current) if state.ema else {}
    params = current.pop("params")
    return state.replace(params=params, collections=current, ema=ema)


def _check(
    config: ConfigDict, stored: StoredWeights, wanted: dict[str, Any], found: dict[str, Any]
) -> None:
    misshapen = [
        f"{name} {found[name].shape} instead of {leaf.shape}"
        for name, leaf in wanted.items()
        if name in found and found[name].shape != leaf.shape
    ]
    problems = {
        "missing": [name for name in wanted if name not in found],
        "of another shape": misshapen,
        "left over": [name for name in found if name not in wanted],
    }
    if not any(problems.values()):
        return
    others = [name for names in problems.values() for name in names if not name.startswith(_HEAD)]
    if not others:
        raise UserError(
            f"init_from: {config.init_from} has another number of classes ({misshapen[0]}); set "
            "init_head=new"
        )
    said = [
        f"{len(names)} {kind} (first: {', '.join(names[:_SHOWN])})"
        for kind, names in problems.items()
        if names
    ]
    raise UserError(
        f"init_from: {config.init_from} holds another network ({stored.config.model.name}) than "
        f"model.name={config.model.name}: {'; '.join(said)}"
    )


def _leaves(variables: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(variables)


def _name(path: Any) -> str:
    return "/".join(key.key for key in path)
