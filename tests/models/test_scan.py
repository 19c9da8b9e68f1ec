"""A loop over equal blocks trains as the blocks one after another do, on the same variables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.models import build
from tests.models.cases import small_config

CASES = {
    "resnet20": {"features": (2,), "depths": (3,)},
    "convnext_t": {"features": (2,), "depths": (2,)},
}


def trained(model, variables, images):
    module = build(model, 10)

    def loss(params):
        logits, new = module.apply(
            variables | {"params": params}, images, train=True, mutable=["batch_stats"]
        )
        return (logits**2).sum(), new

    # The gradient of ConvNeXt's windows takes long to compile, and is no other than ResNet's.
    taken = loss if model.name == "convnext_t" else jax.grad(loss, has_aux=True)
    return jax.jit(taken)(variables["params"])


@pytest.mark.parametrize("name", CASES)
def test_gradients_and_running_statistics_are_equal(name):
    model = small_config(name, **CASES[name], stem="cifar")
    images = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4, 4, 3)), jnp.float32)
    variables = jax.jit(lambda: build(model, 10).init(jax.random.key(0), images, train=False))()
    # Scales as they start would hide what the branches of ConvNeXt compute.
    variables = jax.tree.map(lambda x: x + 0.1, variables)
    plain = trained(model, variables, images)
    with model.unlocked():
        model.scan = True
    looped = jax.make_jaxpr(lambda v: build(model, 10).apply(v, images, True, mutable=True))
    assert str(looped(variables)).count("scan[") == 1
    found = trained(model, variables, images)
    assert jax.tree.structure(found) == jax.tree.structure(plain)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4 * np.abs(b).max() + 1e-6)


def test_blocks_that_differ_cannot_be_looped_over():
    with pytest.raises(UserError, match=r"model\.scan: .*model\.stochastic_depth=0\.1"):
        build(small_config("resnet20", scan=True, stochastic_depth=0.1), 10)
