"""Which examples a training step sees: a pure function of the run's seed and the step."""

import functools
import zlib

import numpy as np


def random_bits(seed: int, stream: str, index: int) -> np.random.Philox:
    """Returns the bit generator of one named stream of a run at one epoch or step.

    NumPy guarantees the raw bits of Philox and SeedSequence across versions, but not the output
    of `Generator.permutation` and the like; orders that must not change are derived from the
    bits.
    """
    return np.random.Philox(np.random.SeedSequence([seed, zlib.crc32(stream.encode()), index]))


def epoch_permutation(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    """Returns the order of one epoch, int32 `[num_examples]`, each example once."""
    bits = random_bits(seed, "order", epoch).random_raw(num_examples)
    return np.argsort(bits, kind="stable").astype(np.int32)


class Order:
    """The examples of every step of a run; each run keeps the permutations of two epochs.

    Args:
      seed: of the order.
      num_examples: of the split.
      repeats: consecutive copies of each example (repeated augmentation, Hoffer et al. 2020). An
        epoch has as many examples as without, so each is seen in one of every `repeats` epochs.
    """

    def __init__(self, seed: int, num_examples: int, repeats: int = 1):
        self._num_examples, self.repeats = num_examples, repeats
        # A batch may cross the end of an epoch, and steps are requested ahead.
        self._epoch = functools.lru_cache(maxsize=2)(
            lambda epoch: epoch_permutation(seed, epoch, num_examples)
        )

    def batch(self, step: int, batch_size: int) -> np.ndarray:
        """Returns the examples of one step, int32 `[batch_size]`.

        The epochs' orders are laid end to end and cut into batches, so every example is seen
        exactly once per epoch (with repeats: of its own), and a batch may span two epochs.
        """
        first, last = step * batch_size, (step + 1) * batch_size
        start, stop = first // self.repeats, -(-last // self.repeats)
        parts = []
        while start < stop:
            epoch, offset = divmod(start, self._num_examples)
            part = self._epoch(epoch)[offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        found = np.concatenate(parts)
        if self.repeats == 1:
            return found
        skipped = first % self.repeats
        return np.repeat(found, self.repeats)[skipped : skipped + batch_size]

    def epochs(self, step: int, batch_size: int) -> np.ndarray:
        """Returns the epoch that each example of one step belongs to, int64 `[batch_size]`."""
        places = np.arange(step * batch_size, (step + 1) * batch_size)
        return places // (self.repeats * self._num_examples)


@functools.lru_cache(maxsize=8)
def _mirrored_first(seed: int, num_examples: int) -> np.ndarray:
    return random_bits(seed, "mirror", 0).random_raw(num_examples) % 2 == 1


def mirrored(seed: int, num_examples: int, indices: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Returns whether each example is mirrored in this epoch, bool of the indices' shape.

    Each is mirrored in every other epoch; the seed determines the first (airbench94, Jordan
    2024).
    """
    return _mirrored_first(seed, num_examples)[indices] ^ (epochs % 2 == 1)


def batch_indices(seed: int, step: int, batch_size: int, num_examples: int) -> np.ndarray:
    """Returns the examples of one step; see `Order.batch`."""
    return Order(seed, num_examples).batch(step, batch_size)
