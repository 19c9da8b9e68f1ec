"""Losses by name: float32 logits `[B, K]` and targets `[B, K]`, whose rows sum to one, to `[B]`."""

from collections.abc import Callable
from typing import Annotated

import jax
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
    return -(targets * (1 - jax.numpy.exp(log_p)) ** gamma * log_p).sum(-1)
