"""White-box attacks within an L-infinity ball, in grey levels."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from cnn.evaluation.model_under_test import ModelUnderTest

SEED = 0
LARGEST = 255.0  # pixels are stored as 0 to 255
# (variables, images float32 `[B, H, W, C]` in 0 to 255, labels `[B]`, indices in the split int32
# `[B]`) -> images
Attack = Callable[[Any, Array, Array, Array], Array]


def fgsm(model: ModelUnderTest, epsilon: float) -> Attack:
    """Fast gradient sign method (Goodfellow, Shlens & Szegedy, ICLR 2015).

    x + epsilon * sign(gradient of the loss with respect to x), clipped to 0 to 255; epsilon is in
    grey levels.
    """

    def attack(variables: Any, images: Array, labels: Array, places: Array) -> Array:
        slope = _slope(model, variables, images, labels)
        return jnp.clip(images + epsilon * jnp.sign(slope), 0, LARGEST)

    return attack


def pgd(model: ModelUnderTest, epsilon: float, steps: int) -> Attack:
    """Projected gradient descent in the L-infinity norm (Madry et al., ICLR 2018).

    Starts at a uniformly random point of the ball and takes `steps` steps of 2.5 epsilon / steps
    along the sign of the gradient, each projected onto the ball and onto 0 to 255. The start of an
    example depends only on its index in the split.
    """
    size = 2.5 * epsilon / steps

    def attack(variables: Any, images: Array, labels: Array, places: Array) -> Array:
        low, high = (jnp.clip(images + s * epsilon, 0, LARGEST) for s in (-1, 1))
        keys = jax.vmap(lambda place: jax.random.fold_in(jax.random.key(SEED), place))(places)
        shape = images.shape[1:]
        start = jax.vmap(lambda key: jax.random.uniform(key, shape, minval=-1, maxval=1))(keys)

        def step(_: int, moved: Array) -> Array:
            slope = _slope(model, variables, moved, labels)
            return jnp.clip(moved + size * jnp.sign(slope), low, high)

        return jax.lax.fori_loop(0, steps, step, jnp.clip(images + epsilon * start, low, high))

    return attack


def _slope(model: ModelUnderTest, variables: Any, images: Array, labels: Array) -> Array:
    """Returns the gradient of the cross-entropy with respect to the images."""

    def loss(images: Array) -> Array:
        logits = model.logits(variables, model.normalize(images))
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).sum()

    return jax.grad(loss)(images)
