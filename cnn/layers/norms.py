"""Normalisation layers by name. Statistics are float32 in every compute dtype."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError
from cnn.layers.style import NORMS, Style
from cnn.ops.batch_norm import batch_norm

_AFFINE = ("norm_epsilon", "zero_scale")


@NORMS.register("batch", (*_AFFINE, "norm_momentum", "norm_frozen", "ghost_batch"))
class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy, ICML 2015), optionally over ghost batches.

    Statistics are over the global batch, on any number of devices. With `style.ghost_batch` = G,
    every G consecutive examples have their own (Hoffer et al., NeurIPS 2017), and the running
    statistics are updated with their mean. The running variance is the biased one, as in flax;
    PyTorch's is unbiased. With `style.norm_frozen`, training uses the running statistics and does
    not update them.
    """

    style: Style
    scale_init: Callable[..., Array] = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Normalises `[B, *spatial, C]` per channel."""
        features = x.shape[-1]
        scale = self.param("scale", self.scale_init, (features,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (features,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (features,), jnp.float32)
        if not train or self.style.norm_frozen:
            mean, var = running_mean.value, running_var.value
            return _normalize(x, mean, var, scale, bias, self.style)
        grouped = x.reshape(self._groups(x.shape[0]), -1, *x.shape[1:])
        y, mean, var = batch_norm(grouped, scale, bias, running_mean.value, self.style.norm_epsilon)
        if not self.is_initializing():
            kept = self.style.norm_momentum
            for running, new in ((running_mean, mean), (running_var, var)):
                running.value = kept * running.value + (1 - kept) * new.mean(0)
        return y.reshape(x.shape)

    def _groups(self, batch: int) -> int:
        ghost = self.style.ghost_batch or batch
        if batch % ghost:
            raise UserError(
                f"model.ghost_batch: {ghost} does not divide the {batch} examples that are "
                "normalised together (train.batch_size / train.accumulation)"
            )
        return batch // ghost


@NORMS.register("layer", _AFFINE)
class LayerNorm(nn.Module):
    """Layer normalisation (Ba et al. 2016) over the channels of each position, as ConvNeXt does."""

    style: Style
    scale_init: Callable[..., Array] = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Normalises `[B, *spatial, C]` per example and position."""
        return _affine(self, x, *_moments(x, (-1,)))


@NORMS.register("group", _AFFINE)
class GroupNorm(nn.Module):
    """Group normalisation (Wu & He, ECCV 2018): 32 groups, or the largest smaller divisor of C."""

    style: Style
    scale_init: Callable[..., Array] = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Normalises `[B, *spatial, C]` per example and group of channels."""
        groups = next(g for g in range(min(32, x.shape[-1]), 0, -1) if x.shape[-1] % g == 0)
        grouped = x.reshape(*x.shape[:-1], groups, -1)
        axes = (*range(1, x.ndim - 1), -1)
        mean, var = _moments(grouped, axes)
        per_channel = (*mean.shape[:-1], x.shape[-1] // groups)
        flat = [jnp.broadcast_to(m, per_channel).reshape(*m.shape[:-2], -1) for m in (mean, var)]
        return _affine(self, x, *flat)


@NORMS.register("instance", _AFFINE)
class InstanceNorm(nn.Module):
    """Instance normalisation (Ulyanov et al. 2016) of each channel of each example."""

    style: Style
    scale_init: Callable[..., Array] = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Normalises `[B, *spatial, C]` per example and channel."""
        return _affine(self, x, *_moments(x, tuple(range(1, x.ndim - 1))))


@NORMS.register("none")
class NoNorm(nn.Module):
    """The identity. The preceding convolution has a bias instead."""

    style: Style
    scale_init: Callable[..., Array] = nn.initializers.ones

    def __call__(self, x: Array, train: bool) -> Array:
        """Returns the input."""
        return x


def _moments(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Returns mean and biased variance in float32, in two passes, keeping the axes."""
    x = x.astype(jnp.float32)
    mean = x.mean(axes, keepdims=True)
    return mean, jnp.square(x - mean).mean(axes, keepdims=True)


def _affine(module: nn.Module, x: Array, mean: Array, var: Array) -> Array:
    scale = module.param("scale", module.scale_init, (x.shape[-1],), jnp.float32)
    bias = module.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
    return _normalize(x, mean, var, scale, bias, module.style)


def _normalize(x: Array, mean: Array, var: Array, scale: Array, bias: Array, style: Style) -> Array:
    factor = jax.lax.rsqrt(var + style.norm_epsilon) * scale
    return ((x.astype(jnp.float32) - mean) * factor + bias).astype(x.dtype)
