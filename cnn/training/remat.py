"""Rematerialization: activations are recomputed in the backward pass instead of being stored.

Chen et al. 2016, "Training deep nets with sublinear memory cost".
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flax.linen as nn
import jax


@contextmanager
def recomputed_blocks() -> Iterator[None]:
    """Context in which a network stores only the inputs of its parts for the backward pass.

    The parts are the modules that the network itself calls: stem, blocks, head. What is inside
    them is recomputed in the backward pass, by the same operations from the same values and
    random numbers. The network and its variables do not change.
    """
    depth = 0

    def intercept(
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        named: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        nonlocal depth
        if context.method_name != "__call__":
            return call(*arguments, **named)
        depth += 1
        try:
            if depth == 2:
                return _recomputed(context.module, arguments, named)
            return call(*arguments, **named)
        finally:
            depth -= 1

    with nn.intercept_methods(intercept):
        yield


def _recomputed(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    def body(module: nn.Module, *arrays: jax.Array) -> Any:
        left = iter(arrays)
        filled = [next(left) if isinstance(x, jax.Array) else x for x in arguments]
        return type(module).__call__(module, *filled, **named)

    # Others, such as `train`, are not arrays and stay constants while the call is traced.
    return nn.remat(body)(module, *(x for x in arguments if isinstance(x, jax.Array)))
