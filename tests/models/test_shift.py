"""APS and LPS with circular padding: no circular shift of the input changes the output."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn.models import build
from tests.layers.cases import KEYS, image, quick
from tests.models.cases import small_config

SIZE = 8


def all_shifts(x):
    """Every circular shift of one image `[1, H, W, C]`, as a batch."""
    rows = [jnp.roll(x, (i, j), (1, 2)) for i in range(SIZE) for j in range(SIZE)]
    return jnp.concatenate(rows)


def logits(name, operator, **fields):
    """Logits of an untrained network for all shifts of three images."""
    if name != "plain":
        fields["shortcut_downsample"] = operator
    module = build(small_config(name, downsample=operator, padding="CIRCULAR", **fields), 10)

    @quick
    def run(x):
        variables = module.init(KEYS, x[:1], False)
        return jnp.stack([module.apply(variables, all_shifts(x[i : i + 1]), False) for i in (0, 1)])

    return np.asarray(run(image(2, SIZE, SIZE, 3, seed=3)))


@pytest.mark.parametrize("name", ["plain", "resnet20"])
@pytest.mark.parametrize("operator", ["aps", "aps(norm='linf', taps=3)", "lps"])
def test_every_circular_shift_gives_the_same_class(name, operator):
    y = logits(name, operator)
    np.testing.assert_allclose(y, np.broadcast_to(y[:, :1], y.shape), rtol=1e-4, atol=1e-4)
    assert (y.argmax(-1) == y[:, :1].argmax(-1)).all()


def test_striding_is_not_invariant():
    y = logits("resnet20", "subsample")
    assert np.abs(y - y[:, :1]).max() > 1e-2
