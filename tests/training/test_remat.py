"""Recomputed activations: the same gradients, from less that is kept."""

import math
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn import models
from cnn.config.errors import UserError
from cnn.training.loop import train
from cnn.training.remat import recomputed_blocks
from tests.conftest import tiny_config
from tests.layers.cases import quick

NETWORKS = {
    "plain": ("model.features=6,6", "model.depths=3,3", "model.dropout=0.3"),
    "resnet": (
        "model.name=resnet20",
        "model.features=4,6",
        "model.depths=2,2",
        "model.stochastic_depth=0.3",
    ),
    "looped": ("model.name=resnet20", "model.features=4,6", "model.depths=4,4", "model.scan=True"),
}


@pytest.fixture(scope="module", params=NETWORKS)
def problem(request):
    """Returns (parameters, (parameters, whether to recompute) -> (loss, new statistics))."""
    config = tiny_config(*NETWORKS[request.param])
    model = models.build(config.model, 7)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    images = jax.random.normal(jax.random.key(2), (8, 8, 8, 3))
    variables = quick(lambda x: model.init(keys, x, train=False))(images)

    def loss(params, recompute):
        with recomputed_blocks() if recompute else nullcontext():
            logits, updates = model.apply(
                variables | {"params": params},
                images,
                train=True,
                mutable=["batch_stats"],
                rngs=keys,
            )
        return (logits * jnp.arange(7)).sum(), updates

    return variables["params"], loss


def test_gradients_and_statistics_are_equal(problem):
    params, loss = problem
    step = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)
    kept, recomputed = step(params, False), step(params, True)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *(kept, recomputed)
    )
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(kept[1])) > 0.01


def test_less_is_kept_for_the_gradient(problem):
    params, loss = problem

    def kept(recompute):
        backward = jax.eval_shape(
            lambda params: jax.vjp(lambda p: loss(p, recompute)[0], params)[1], params
        )
        return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(backward))

    assert kept(True) < 0.6 * kept(False)


def test_a_run_that_recomputes_is_the_same_run(tmp_path):
    """Also where it was begun without."""
    runs = {
        name: train(tiny_config(f"train.remat={name}"), str(tmp_path / name), quiet=True)
        for name in ("True", "False")
    }
    assert runs["True"]["test"] == runs["False"]["test"]
    assert runs["True"]["fingerprint"] == runs["False"]["fingerprint"]


def test_one_block_that_is_the_whole_network_is_refused(tmp_path):
    config = tiny_config(
        "data.synthetic_shape=4,8,8,3",
        "data.signal=video",
        "model.temporal_head=avg",
        "train.remat=True",
    )
    with pytest.raises(UserError, match=r"train\.remat: saves nothing with model\.temporal_head"):
        train(config, str(tmp_path / "run"), quiet=True)
    assert not (tmp_path / "run").exists()
