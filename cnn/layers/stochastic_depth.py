"""Stochastic depth: dropping whole residual branches during training."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


class StochasticDepth(nn.Module):
    """Drops a residual branch per example (Huang et al., ECCV 2016): y = x b / (1 - rate).

    b is 0 with probability `rate`. Dividing during training, as ports do, makes evaluation the
    identity; the paper multiplies in evaluation instead.

    Attributes:
      rate: probability of dropping the branch.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, ...]`."""
        if not train or self.rate == 0:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros((), x.dtype))


def linear_rates(last: float, blocks: int) -> list[float]:
    """Returns the rates of all blocks, rising linearly to that of the last (Huang et al.)."""
    return [last * i / blocks for i in range(1, blocks + 1)]
