"""Untrained networks of APS and LPS answer alike for all circular shifts of an image."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from cnn import models
from cnn.config.load import apply_override
from cnn.layers import Shortcut
from configs import base
from tests.layers.cases import quick
from tests.models.cases import untrained

SIZE, IMAGES = 8, 6
COMMON = ("model.padding=CIRCULAR", "model.head=avg")
PLAIN = ("model.name=plain", "model.features=6,8")
RESNET = ("model.name=resnet20", "model.features=4,6,8", "model.depths=1,1,1")
CONSISTENT = {
    "plain, aps": (*PLAIN, "model.downsample=aps"),
    "plain, aps of l1 with blur": (*PLAIN, "model.downsample=aps(norm='l1', taps=3)"),
    "plain, aps of linf": (*PLAIN, "model.downsample=aps(norm='linf')"),
    "plain, lps": (*PLAIN, "model.downsample=lps"),
    "resnet20, aps": (*RESNET, "model.downsample=aps", "model.shortcut_downsample=aps"),
    "resnet20, aps with blur": (
        *RESNET,
        "model.downsample=aps(taps=3)",
        "model.shortcut_downsample=aps(taps=3)",
        "model.shortcut=projection",
    ),
    "resnet20, aps of linf with blur": (
        *RESNET,
        "model.downsample=aps(norm='linf', taps=3)",
        "model.shortcut_downsample=aps(norm='linf', taps=3)",
    ),
    "resnet20, lps": (*RESNET, "model.downsample=lps", "model.shortcut_downsample=lps"),
    "pre-activated, aps": (
        "model.name=preact_resnet110",
        *RESNET[1:],
        "model.downsample=aps",
        "model.shortcut_downsample=aps",
        "model.stem_downsample=none",
    ),
}


def logits_of_all_shifts(*overrides: str) -> np.ndarray:
    """Returns the logits `[shifts, images, K]` of a network as it starts, in evaluation."""
    config = base.get_config()
    for text in (*COMMON, *overrides):
        apply_override(config, text)
    network = models.build(config.model, 10)
    images = np.random.default_rng(0).standard_normal((IMAGES, SIZE, SIZE, 3), np.float32)
    shifts = [np.roll(images, (i, j), (1, 2)) for i in range(SIZE) for j in range(SIZE)]

    shapes = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, False), images[:1])
    variables = untrained(shapes)
    run = quick(lambda x: network.apply(variables, x, False))
    return np.asarray(run(np.concatenate(shifts))).reshape(SIZE**2, IMAGES, 10)


def differences(logits: np.ndarray) -> float:
    """Returns how far logits are from those of the unshifted image, relative to their spread."""
    return float(np.abs(logits - logits[:1]).max() / logits[0].std(0).min())


@pytest.mark.parametrize("overrides", CONSISTENT.values(), ids=CONSISTENT)
def test_consistent_to_all_shifts(overrides):
    logits = logits_of_all_shifts(*overrides)
    # Images differ, or agreement would say nothing.
    assert logits[0].std(0).min() > 1e-3
    assert differences(logits) < 1e-3
    np.testing.assert_array_equal(
        logits.argmax(-1), np.broadcast_to(logits[0].argmax(-1), logits.shape[:2])
    )


@pytest.mark.parametrize(
    "overrides",
    [
        (*PLAIN, "model.downsample=max"),
        (*PLAIN, "model.downsample=aps", "model.padding=SAME"),
        (*RESNET, "model.downsample=aps", "model.shortcut_downsample=subsample"),
    ],
    ids=["max", "zero padding", "another shortcut"],
)
def test_not_without_the_conditions(overrides):
    assert differences(logits_of_all_shifts(*overrides)) > 1e-2


@pytest.mark.parametrize("operator", ["aps", "lps"])
def test_a_shortcut_that_chose_for_itself_would_not_be_consistent(operator):
    def forget_phase(call, args, kwargs, context):
        return call(*args[:2], None) if isinstance(context.module, Shortcut) else call(*args)

    with nn.intercept_methods(forget_phase):
        logits = logits_of_all_shifts(*CONSISTENT[f"resnet20, {operator}"])
    assert differences(logits) > 1e-2
