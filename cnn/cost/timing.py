"""Fair timing of alternatives on a machine with drifting speed."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import jax

from cnn.config.errors import UserError


def seconds_in_turns(
    functions: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, float]:
    """Times functions in turns, see `turns`.

    Returns:
      Median seconds a call, by name.

    Raises:
      UserError: fewer than one repeat.
    """
    return {name: statistics.median(each) for name, each in turns(functions, repeats).items()}


def turns(
    functions: Mapping[str, Callable[[], object]],
    repeats: int,
    prepare: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, list[float]]:
    """Times functions alternately, A B A B, so that drift affects all of them equally.

    Every function runs once untimed first, which compiles it; results are waited for.

    Args:
      functions: to be timed.
      repeats: turns.
      prepare: what is run before a call of that name, untimed.

    Returns:
      Seconds of each call, by name; the i-th calls of all names followed each other.

    Raises:
      UserError: fewer than one repeat.
    """
    if repeats < 1:
        raise UserError(f"repeats: {repeats} is too few; use 1 or more")
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(-1, repeats):
        for name, function in functions.items():
            if prepare and name in prepare:
                jax.block_until_ready(prepare[name]())
            taken = seconds_of(function)
            if turn >= 0:
                seconds[name].append(taken)
    return seconds


def turn_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Returns the median over repeats of the ratio of two timings.

    The speed of the machine during a turn cancels, unlike in a ratio of medians.
    """
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def seconds_of(function: Callable[[], object]) -> float:
    """Returns the seconds of one call, until its result is ready."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def time_calls(
    function: Callable[[], object], least: int = 30, most: int = 300, budget: float = 10.0
) -> list[float]:
    """Times calls one after the other, after two untimed ones.

    Args:
      function: to be timed.
      least, most: calls.
      budget: seconds after which no further call begins, once there are `least`.

    Returns:
      Seconds of each call.
    """
    for _ in range(2):
        jax.block_until_ready(function())
    found: list[float] = []
    while len(found) < least or (len(found) < most and sum(found) < budget):
        found.append(seconds_of(function))
    return found
