"""A fused RepVGG computes what the trained one does."""

import jax
import numpy as np
import pytest

from cnn.api import open_run
from cnn.config.errors import UserError
from cnn.models import build
from cnn.models.repvgg import fused
from cnn.training.loop import train
from tests.conftest import tiny_config
from tests.layers.cases import KEYS, image, quick
from tests.models.cases import parameters, small_config

FIELDS = dict(stem="cifar", features=(6, 8), depths=(2, 2))


@pytest.mark.parametrize("padding", ["SAME", "torch", "CIRCULAR"])
@pytest.mark.parametrize("operator", ["strided_conv", "max_blur"])
def test_fused_outputs_are_those_of_the_branches(padding, operator):
    fields = FIELDS | dict(padding=padding, downsample=operator, norm_epsilon=1e-3)
    branches = build(small_config("repvgg_a0", **fields), 10)
    x = image(4, 16, 16, 3)
    variables = jax.jit(branches.init, static_argnums=2)(KEYS, x, False)
    rng = np.random.default_rng(0)
    # Norms as training leaves them.
    moved = jax.tree.map(lambda v: v + rng.uniform(0.1, 0.5, v.shape).astype(v.dtype), variables)
    plain = build(small_config("repvgg_a0_fused", **fields), 10)
    made = fused(moved, 1e-3)
    wanted, found = quick(lambda x: (branches.apply(moved, x, False), plain.apply(made, x, False)))(
        x
    )
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    initial = jax.eval_shape(lambda: plain.init(KEYS, x, False))
    assert parameters(made) == parameters(initial)


def test_a_run_gives_its_fused_network(tmp_path):
    short = ("train.duration=2 steps", "log.trackers=", "data.validation=0%")
    fields = ("model.name=repvgg_a0", "model.depths=1,1", "model.stem=cifar")
    train(tiny_config(*short, *fields), tmp_path / "run", quiet=True)
    run = open_run(tmp_path / "run")
    network, variables = run.fused()
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    wanted = run.predict(images).logits
    found = network.apply(variables, run.prepare(images), train=False)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    train(tiny_config(*short), tmp_path / "plain", quiet=True)
    with pytest.raises(UserError, match="plain has no RepVGG"):
        open_run(tmp_path / "plain").fused()
