"""Layer-wise learning rates, on networks' own paths."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn.config.base import get_config
from cnn.training.layer_decay import layer_rates
from cnn.training.optimizer import make_optimizer
from tests.models.cases import abstract, small_config


def test_rates_fall_by_layers_towards_the_stem():
    _, variables = abstract(small_config("convnext_t"), (2, 32, 32, 3))
    found = layer_rates(variables["params"], 0.5)
    assert {name: set(jax.tree.leaves(tree)) for name, tree in found.items()} == {
        "head": {1.0},
        "stage2_block1": {0.5},
        "stage2_reduction": {0.25},
        "stage1_block1": {0.125},
        "stem": {0.0625},
        "stem_norm": {0.0625},
    }


def test_block_ten_comes_after_block_nine():
    names = ("stem", "stage1_block9", "stage1_block10", "norm", "head")
    found = layer_rates({name: {"kernel": 0} for name in names}, 0.1)
    rates = [found[name]["kernel"] for name in names]
    np.testing.assert_allclose(rates, [1e-4, 1e-3, 1e-2, 1e-1, 1])


def test_the_update_is_that_of_the_optimizer_times_the_rate():
    config = get_config()
    params = {"stem": {"kernel": jnp.ones(3)}, "head": {"kernel": jnp.ones(2)}}
    grads = jax.tree.map(lambda p: 0.3 * p, params)

    def updated(decay):
        with config.unlocked():
            config.optimizer.layer_decay = decay
        tx = make_optimizer(config.optimizer, 0.0, lambda step: 0.5)
        return tx.update(grads, tx.init(params), params, step=0)[0]

    plain, decayed = updated(1.0), updated(0.25)
    np.testing.assert_array_equal(decayed["head"]["kernel"], plain["head"]["kernel"])
    np.testing.assert_allclose(decayed["stem"]["kernel"], 0.25 * plain["stem"]["kernel"])
    assert (plain["stem"]["kernel"] != 0).all()
