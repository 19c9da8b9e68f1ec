"""Inputs shared by the tests of operators, and many cases in one compilation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np


def image(spatial: tuple[int, ...], channels: int = 3, batch: int = 2, seed: int = 0) -> np.ndarray:
    """Normal float32 `[batch, *spatial, channels]`."""
    shape = (batch, *spatial, channels)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def compiled(functions: Mapping[Any, Callable], *args: Any) -> dict[Any, Any]:
    """Returns each function's result on the same arguments, all in one jit."""
    run = jax.jit(lambda *args: [function(*args) for function in functions.values()])
    return dict(zip(functions, run(*args), strict=True))


def assert_agree(
    functions: Mapping[Any, Callable],
    expected: Mapping[Any, Callable],
    *args: Any,
    **tolerance: Any,
) -> None:
    """Asserts that each function agrees with the NumPy function of the same key."""
    for name, result in compiled(functions, *args).items():
        np.testing.assert_allclose(
            np.asarray(result, np.float64), expected[name](*args), err_msg=str(name), **tolerance
        )
