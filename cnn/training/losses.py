"""Losses by name: float32 logits `[B, K]` and targets `[B, K]`, whose rows sum to one, to `[B]`."""

from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
import optax
from jax import Array
from ml_collections import ConfigDict

from cnn.config.fields import Interval
from cnn.config.registry import Registry

Loss = Callable[[Array, Array], Array]

LOSSES: Registry[Loss] = Registry("loss", "train.loss")


def make_loss(train: ConfigDict) -> Loss:
    """Returns the loss of a config's train section, on smoothed targets."""
    loss = LOSSES.bound(train.loss, "train.loss")

    def smoothed(logits: Array, targets: Array) -> Array:
        return loss(logits, optax.smooth_labels(targets, train.label_smoothing))

    return smoothed


def consistency(views: Array) -> Array:
    """Jensen-Shannon divergence of an example's predictions (Hendrycks et al., AugMix, ICLR 2020).

    The mean over views of KL(p_view || mean p), in nats; 0 where they agree.

    Args:
      views: float32 logits `[B, V, K]`.

    Returns:
      `[B]`.
    """
    log_p = jax.nn.log_softmax(views)
    log_mean = jax.nn.logsumexp(log_p, axis=1, keepdims=True, b=1 / views.shape[1])
    return (jnp.exp(log_p) * (log_p - log_mean)).sum(-1).mean(-1)


LOSSES.add("softmax_cross_entropy", optax.softmax_cross_entropy)


@LOSSES.register("binary_cross_entropy")
def _binary(logits: Array, targets: Array) -> Array:
    """One sigmoid per class, the mean over classes (Wightman et al. 2021, ResNet strikes back)."""
    return optax.sigmoid_binary_cross_entropy(logits, targets).mean(-1)


@LOSSES.register("focal")
def _focal(
    logits: Array, targets: Array, *, gamma: Annotated[float, Interval("[0, 100]")] = 2.0
) -> Array:
    """- sum t (1 - p)**gamma log p, p by softmax (Lin et al., ICCV 2017, there by sigmoid)."""
    log_p = jax.nn.log_softmax(logits)
    return -(targets * (1 - jnp.exp(log_p)) ** gamma * log_p).sum(-1)
