"""Attacks against linear networks, for which the worst case within a box is known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.data.split import ArraySplit
from cnn.evaluation.adversarial.attacks import fgsm, pgd
from cnn.evaluation.adversarial.suite import accuracy_under
from tests.evaluation.models import function_under_test

SIZE, COUNT = 4, 40
WEIGHTS = np.random.default_rng(1).normal(size=(SIZE, SIZE, 1)).astype(np.float32)


def linear(_, x):
    """Two classes whose logits differ by the weighted sum of pixels in [0, 1], less a constant."""
    score = (x * WEIGHTS).sum((1, 2, 3)) - 0.5 * WEIGHTS.sum()
    return jnp.stack([jnp.zeros_like(score), score], 1)


@pytest.fixture(scope="module")
def split():
    # Far enough from 0 and 255 that clipping changes nothing.
    images = np.random.default_rng(2).integers(60, 190, (COUNT, SIZE, SIZE, 1), np.uint8)
    scores = ((images / 255 - 0.5) * WEIGHTS).sum((1, 2, 3))
    labels = (scores > 0).astype(int)
    labels[:4] = 1 - labels[:4]
    return ArraySplit(images, labels, ("below", "above"), "linear")


def last(found):
    *_, (seen, accuracy) = found
    assert seen == COUNT
    return accuracy


@pytest.mark.parametrize("epsilon", [2.0, 8.0, 20.0])
def test_accuracy_is_that_of_the_worst_case_in_the_box(split, epsilon):
    images, labels = split.read(np.arange(COUNT))
    margins = ((images / 255 - 0.5) * WEIGHTS).sum((1, 2, 3)) * np.where(labels == 1, 1, -1)
    worst = margins - epsilon / 255 * np.abs(WEIGHTS).sum()
    model = function_under_test(linear, split, 7)
    attacks = {"fgsm": fgsm(model, epsilon), "pgd": pgd(model, epsilon, 10)}
    found = last(accuracy_under(model, attacks))
    assert found["clean"] == pytest.approx((margins > 0).mean())
    assert found["clean"] == 1 - 4 / COUNT
    assert found["fgsm"] == found["pgd"] == pytest.approx((worst > 0).mean())


@pytest.mark.parametrize("make", [fgsm, lambda model, epsilon: pgd(model, epsilon, 5)])
def test_images_stay_in_the_box_and_are_pixels(split, make):
    epsilon = 30.0
    images = np.random.default_rng(0).integers(0, 256, (9, SIZE, SIZE, 1)).astype(np.float32)
    labels = np.arange(9) % 2
    attack = jax.jit(make(function_under_test(linear, split), epsilon))
    moved = np.asarray(attack((), images, labels, np.arange(9)))
    assert np.abs(moved - images).max() <= epsilon + 1e-4
    assert moved.min() >= 0
    assert moved.max() <= 255
    assert np.abs(moved - images).max() > 0.9 * epsilon


def test_an_example_is_attacked_alike_in_any_batch(split):
    def crooked(_, x):
        return jnp.stack([jnp.sin(9 * x).sum((1, 2, 3)), jnp.cos(7 * x).sum((1, 2, 3))], 1)

    found = []
    for batch in (7, COUNT):
        model = function_under_test(crooked, split, batch)
        found.append(last(accuracy_under(model, {"pgd": pgd(model, 8.0, 3)})))
    assert found[0] == found[1]
