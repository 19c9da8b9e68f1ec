"""Which examples a training step sees: a pure function of the run's seed and the step."""

import functools
import zlib

import numpy as np


def random_bits(seed: int, stream: str, index: int) -> np.random.Philox:
    """Returns the bit generator of one named stream of a run at one epoch or step.

    NumPy promises the raw bits of Philox and SeedSequence for ever, but not what
    `Generator.permutation` and the like make of them; so what must not change uses the bits.
    """
    return np.random.Philox(np.random.SeedSequence([seed, zlib.crc32(stream.encode()), index]))


@functools.lru_cache(maxsize=4)
def epoch_permutation(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    """Returns the order of one epoch, int32 `[num_examples]`, each example once."""
    bits = random_bits(seed, "order", epoch).random_raw(num_examples)
    order = np.argsort(bits, kind="stable").astype(np.int32)
    order.flags.writeable = False
    return order


def batch_indices(seed: int, step: int, batch_size: int, num_examples: int) -> np.ndarray:
    """Returns the examples of one step, int32 `[batch_size]`.

    The epochs' orders are laid end to end and cut into batches, so every example is seen exactly
    once an epoch and a batch may run across an epoch's end.
    """
    start, stop = step * batch_size, (step + 1) * batch_size
    parts = []
    while start < stop:
        epoch, offset = divmod(start, num_examples)
        part = epoch_permutation(seed, epoch, num_examples)[offset : offset + stop - start]
        parts.append(part)
        start += len(part)
    return np.concatenate(parts)
