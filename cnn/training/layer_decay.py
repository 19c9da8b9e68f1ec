"""Layer-wise learning rate decay: lower rates further from the head."""

import re
from typing import Any

import jax
import optax


def scale_by_layer(decay: float) -> optax.GradientTransformation:
    """Multiplies the update of each parameter by decay ** n, n layers before the head.

    The stem, each block and each reduction between stages count as a layer (Bao et al., BEiT, ICLR
    2022). Layers are recognised by the module names of our networks.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(
            lambda u, factor: u * factor, updates, layer_rates(updates, decay)
        ), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def layer_rates(params: Any, decay: float) -> Any:
    """Returns the factor of the learning rate of each parameter."""
    layers = sorted({_place(name) for name in params})

    def one(path: Any, _: Any) -> float:
        return decay ** (len(layers) - 1 - layers.index(_place(path[0].key)))

    return jax.tree_util.tree_map_with_path(one, params)


def _place(module: str) -> tuple[float, int]:
    """Returns where in a network a module is: the stem, stages and their blocks, the rest, head."""
    stage = re.match(r"stage(\d+)", module)
    if stage:
        block = re.search(r"_block(\d+)", module)
        return (int(stage[1]), int(block[1]) if block else 0)
    if module.startswith("stem"):
        return (0, 0)
    return (float("inf"), int(module == "head"))
