"""Mixed, gated and tree pooling: oracles, and the ends they reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.ops.average import avg_pool
from cnn.ops.convolution import depthwise_conv
from cnn.ops.max_pool import max_pool
from cnn.ops.mixed import gated_pool, mixed_pool, tree_pool
from tests.ops.cases import assert_agree, image
from tests.ops.oracles import ORACLES

OURS = {"mixed_pool": mixed_pool, "gated_pool": gated_pool, "tree_pool": tree_pool}


@pytest.mark.parametrize("spatial", [(9,), (8, 7), (4, 3, 5)])
def test_shares_and_filters_by_channel_and_large_trees_agree_with_the_oracle(spatial):
    size = (2,) * len(spatial)
    filters = [image(size, batch=1, seed=i)[0] for i in range(15)]
    shares = np.float32([0, 0.3, 1.4])
    where = (2, "SAME")

    def cases(ops):
        return {
            "mixed by channel": lambda x: ops["mixed_pool"](x, 2, *where, share=shares),
            "gated by channel": lambda x: ops["gated_pool"](x, filters[0], *where),
            "two leaves": lambda x: ops["tree_pool"](x, filters[:2], filters[2:3], *where),
            "eight leaves": lambda x: ops["tree_pool"](x, filters[:8], filters[8:], *where),
        }

    assert_agree(cases(OURS), cases(ORACLES), image(spatial), rtol=1e-5, atol=1e-5)


def test_the_average_and_the_maximum_are_the_ends():
    where = (3, 2, "SAME")
    zero, leaf = np.zeros((3, 3), np.float32), image((3, 3), 1, 1)[0, ..., 0]
    huge = np.full((3, 3), 1e4, np.float32)

    def pairs(x):
        positive = jnp.abs(x) + 0.1
        half = (max_pool(x, *where) + avg_pool(x, *where)) / 2
        filtered = depthwise_conv(x, jnp.broadcast_to(leaf[..., None], (3, 3, 3)), 2, "SAME")
        return {
            "a = 1": (mixed_pool(x, *where, share=1.0), max_pool(x, *where)),
            "a = 0": (mixed_pool(x, *where, share=0.0), avg_pool(x, *where)),
            "a gate of zero": (gated_pool(x, zero, 2, "SAME"), half),
            "an open gate": (gated_pool(positive, huge, 2, "SAME"), max_pool(positive, *where)),
            "a shut gate": (gated_pool(positive, -huge, 2, "SAME"), avg_pool(positive, *where)),
            "equal leaves": (tree_pool(x, [leaf, leaf], [huge], 2, "SAME"), filtered),
            "one leaf": (tree_pool(x, [leaf], [], 2, "SAME"), filtered),
        }

    for name, (a, b) in jax.jit(pairs)(image((6, 5))).items():
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("leaves", "gates"), [(3, 2), (2, 2), (4, 2), (0, 0)])
def test_what_is_no_binary_tree_is_refused(leaves, gates):
    one = np.zeros((2, 2), np.float32)
    with pytest.raises(UserError, match="do not form a binary tree"):
        tree_pool(image((4, 4)), [one] * leaves, [one] * gates, 2, "VALID")
