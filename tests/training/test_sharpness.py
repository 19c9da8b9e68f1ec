"""Gradients taken uphill, against the papers' formulas and optax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn.config.errors import UserError
from cnn.training.sharpness import make_ascent
from tests.training.test_steps import by_hand, recipe, run

PARAMS = {"kernel": np.array([[1.0, -2.0]]), "bias": np.array([0.5])}
GRADIENT = {"kernel": np.array([[3.0, 0.0]]), "bias": np.array([4.0])}


def test_sam_goes_as_far_as_its_radius_along_the_gradient():
    found = make_ascent("sam(rho=0.5)")(PARAMS, GRADIENT)
    np.testing.assert_allclose(found["kernel"], [[1 + 0.5 * 3 / 5, -2.0]], rtol=1e-6)
    np.testing.assert_allclose(found["bias"], [0.5 + 0.5 * 4 / 5], rtol=1e-6)


def test_asam_scales_the_neighbourhood_of_kernels():
    found = make_ascent("asam(rho=0.5, eta=0.1)")(PARAMS, GRADIENT)
    length = np.hypot(1.1 * 3, 4)
    np.testing.assert_allclose(found["kernel"], [[1 + 0.5 * 1.1**2 * 3 / length, -2]], rtol=1e-6)
    np.testing.assert_allclose(found["bias"], [0.5 + 0.5 * 4 / length], rtol=1e-6)


@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_update_is_made_by_the_gradient_uphill(accumulation):
    changes = dict(ascend=make_ascent("sam(rho=2.0)"), accumulation=accumulation)
    first, (state,), sums = run(recipe(**changes))
    before, after = first.params["head"], state.params["head"]
    loss, kernel, bias, _ = by_hand(before)
    norm = np.sqrt((kernel**2).sum() + (bias**2).sum())
    uphill = {
        "kernel": before["kernel"] + 2.0 * kernel / norm,
        "bias": before["bias"] + 2.0 * bias / norm,
    }
    _, kernel, bias, _ = by_hand(uphill)
    np.testing.assert_allclose(after["kernel"], before["kernel"] - 0.5 * kernel, atol=1e-6)
    np.testing.assert_allclose(after["bias"], before["bias"] - 0.5 * bias, atol=1e-6)
    # What is reported is the loss of the network, not of the one uphill.
    np.testing.assert_allclose(sums["loss"], loss, rtol=1e-6)


def test_a_step_of_sgd_is_that_of_optax():
    def loss(params):
        return (params["kernel"] ** 4).sum() + jnp.sin(params["bias"]).sum()

    params = jax.tree.map(jnp.float32, PARAMS)
    theirs = optax.contrib.sam(
        optax.sgd(0.1),
        optax.chain(optax.contrib.normalize(), optax.sgd(0.05)),
        opaque_mode=True,
    )
    update, _ = theirs.update(
        jax.grad(loss)(params), theirs.init(params), params, grad_fn=lambda p, _: jax.grad(loss)(p)
    )
    uphill = make_ascent("sam")(params, jax.grad(loss)(params))
    ours = jax.tree.map(lambda g: -0.1 * g, jax.grad(loss)(uphill))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(update), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_gradient_of_zero_goes_nowhere():
    found = make_ascent("sam")(PARAMS, jax.tree.map(np.zeros_like, GRADIENT))
    assert all((found[name] == PARAMS[name]).all() for name in PARAMS)


def test_an_unknown_ascent_is_refused():
    with pytest.raises(UserError, match=r"optimizer.ascent: unknown ascent 'samm'.* did you mean"):
        make_ascent("samm")
