"""Randomness derived from (seed, stream, step), so that no key has to be stored or restored."""

import zlib

import jax
from jax import Array


def stream_key(seed: Array | int, stream: str, step: Array | int = 0) -> Array:
    """Returns the key of a named stream ("init", "augment", "dropout") at a step.

    Args:
      seed: uint32 scalar, traced or not: one compiled program serves every seed.
      stream: the name; streams with different names are independent.
      step: the number of updates made before.
    """
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(stream.encode()))
    return jax.random.fold_in(key, step)
