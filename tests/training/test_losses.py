"""Losses against their formulas in float64."""

import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.training.losses import LOSSES, consistency

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(5, 4)).astype(np.float32)
TARGETS = RNG.dirichlet(np.ones(4), size=5).astype(np.float32)


def softmax(x):
    e = np.exp(x.astype(np.float64))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


P, S = softmax(LOGITS), sigmoid(LOGITS)
FORMULAS = {
    "softmax_cross_entropy": -(TARGETS * np.log(P)).sum(-1),
    "binary_cross_entropy": -(TARGETS * np.log(S) + (1 - TARGETS) * np.log(1 - S)).mean(-1),
    "focal": -(TARGETS * (1 - P) ** 2 * np.log(P)).sum(-1),
    "focal(gamma=0.5)": -(TARGETS * (1 - P) ** 0.5 * np.log(P)).sum(-1),
}


def test_every_loss_has_its_formula():
    assert {text.partition("(")[0] for text in FORMULAS} == set(LOSSES)


@pytest.mark.parametrize("text", FORMULAS)
def test_losses_are_their_formulas(text):
    found = LOSSES.bound(text, "train.loss")(LOGITS, TARGETS)
    np.testing.assert_allclose(found, FORMULAS[text], rtol=1e-5)


def test_consistency_is_the_divergence_from_the_mean_prediction():
    views = RNG.normal(size=(5, 3, 4)).astype(np.float32)
    p = softmax(views)
    mixture = p.mean(1, keepdims=True)
    wanted = (p * np.log(p / mixture)).sum(-1).mean(-1)
    np.testing.assert_allclose(consistency(views), wanted, rtol=1e-4)
    same = np.repeat(views[:, :1], 3, axis=1)
    np.testing.assert_allclose(consistency(same), np.zeros(5), atol=1e-6)


def test_a_negative_gamma_is_refused():
    with pytest.raises(UserError, match=r"train.loss: gamma of 'focal': -1.0 is out of range"):
        LOSSES.parse("focal(gamma=-1.0)", "train.loss")
