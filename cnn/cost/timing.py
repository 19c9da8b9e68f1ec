"""Fair timing of alternatives on a machine whose speed drifts."""

import statistics
import time
from collections.abc import Callable, Mapping

import jax

from cnn.config.errors import UserError


def interleave(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Times functions in turns, A B A B, so that drift and neighbours meet all of them alike.

    Every function runs once untimed first, which compiles it; results are waited for.

    Returns:
      Median seconds a call, by name.

    Raises:
      UserError: fewer than one repeat.
    """
    if repeats < 1:
        raise UserError(f"repeats: {repeats} leaves nothing to take a median of; use 1 or more")
    for function in functions.values():
        jax.block_until_ready(function())
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in seconds.items()}
