"""Normalisation layers by name; statistics are float32 whatever the compute dtype."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy, ICML 2015) over ghost groups of the batch.

    Under jit the statistics are those of the whole batch, on however many devices it lies. With
    `ghost_batch` = G each run of G consecutive examples has its own (Hoffer et al., NeurIPS 2017),
    and the running statistics take the mean over the groups. The variance is computed in two
    passes (a single pass loses it when the mean is large) and is the biased one, in the running
    statistics too, as in flax; PyTorch's running variance is the unbiased one.

    Attributes:
      momentum: share of the running statistics kept at each step.
      epsilon: added to the variance.
      ghost_batch: examples in a group; 0 for the whole batch.
      scale_init: initialiser of the scale.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    ghost_batch: int = 0
    scale_init: Callable = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Normalises `[B, *spatial, C]` per channel."""
        features = x.shape[-1]
        scale = self.param("scale", self.scale_init, (features,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (features,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (features,), jnp.float32)
        groups = x.shape[0] // self.ghost_batch if train and self.ghost_batch else 1
        grouped = x.astype(jnp.float32).reshape(groups, -1, *x.shape[1:])
        if train:
            axes = tuple(range(1, x.ndim))
            mean = grouped.mean(axes, keepdims=True)
            var = jnp.square(grouped - mean).mean(axes, keepdims=True)
            if not self.is_initializing():
                for running, new in ((running_mean, mean), (running_var, var)):
                    new = new.reshape(groups, features).mean(0)
                    running.value = self.momentum * running.value + (1 - self.momentum) * new
        else:
            mean, var = running_mean.value, running_var.value
        y = (grouped - mean) * (jax.lax.rsqrt(var + self.epsilon) * scale) + bias
        return y.reshape(x.shape).astype(x.dtype)
