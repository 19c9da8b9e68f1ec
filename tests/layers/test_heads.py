"""Heads: shapes, gradients, and that each takes any number of spatial axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.layers import HEADS, Head, Style
from tests.layers.cases import KEYS, image, moved, quick, score


@pytest.mark.parametrize("spatial", [(5,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("pooling", HEADS)
def test_logits_are_float32(pooling, spatial):
    x = jax.ShapeDtypeStruct((2, *spatial, 8), jnp.bfloat16)
    head = Head(pooling, 7, Style(dtype="bfloat16"))
    y, variables = jax.eval_shape(lambda x: head.init_with_output(KEYS, x, True), x)
    assert (y.shape, y.dtype) == ((2, 7), jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_every_parameter_gets_a_gradient():
    names = [*HEADS, "flatten(hidden=(5, 6))"]

    def one(name, x):
        head = Head(name, 3, Style(), norm=True)
        variables = head.init(KEYS, x, False)

        def loss(params):
            given = variables | {"params": params}
            return score(head.apply(given, x, True, mutable=["batch_stats"])[0])

        return jax.grad(loss)(moved(variables["params"]))

    x = jax.nn.relu(image(4, 3, 3, 8))
    for name, params in quick(lambda x: {n: one(n, x) for n in names})(x).items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            # The softmax of attention does not see what is added to all keys alike.
            if "key" in str(path) and "bias" in str(path):
                continue
            assert np.abs(leaf).max() > 0, (name, path)


def test_dropout_is_before_the_classifier_and_in_training_only():
    x = jnp.ones((1, 2, 2, 400))
    head = Head("avg", 400, Style(), dropout=0.5)
    params = {"classifier": {"kernel": jnp.eye(400), "bias": jnp.zeros(400)}}
    rngs = {"dropout": jax.random.key(0)}
    y = head.apply({"params": params}, x, True, rngs=rngs)
    assert set(np.unique(y)) == {0.0, 2.0}
    assert 140 < (np.asarray(y) == 0).sum() < 260
    np.testing.assert_array_equal(head.apply({"params": params}, x, False), 1.0)


def test_a_window_leaves_the_last_positions_out():
    """As Keras' AveragePooling2D((24, 5)) on the 25 x 5 map of MLPerf Tiny's DS-CNN."""
    x = np.random.default_rng(0).random((2, 25, 5, 4), np.float32)
    params = {"params": {"classifier": {"kernel": jnp.eye(4)}}}
    head = Head("avg(window=(24, 5))", 4, Style(), use_bias=False)
    found = jax.jit(lambda x: head.apply(params, x, False))(x)
    np.testing.assert_allclose(found, x[:, :24].mean((1, 2)), rtol=1e-5)
    for window in ("(26, 5)", "(24,)"):
        with pytest.raises(
            UserError, match=r"model.head: .* does not fit feature maps of \(25, 5\)"
        ):
            Head(f"avg(window={window})", 4, Style()).apply(params, x, False)


def test_the_scale_is_of_the_logits():
    x = jnp.ones((1, 2, 2, 3))
    params = {"params": {"classifier": {"kernel": jnp.eye(3)}}}
    head = Head("max", 3, Style(), scale=0.25, use_bias=False)
    np.testing.assert_allclose(head.apply(params, x, False), 0.25)


@pytest.mark.parametrize(
    ("pooling", "message"),
    [
        ("average", "unknown head 'average'"),
        ("gem(p=0.0)", "p=0.0 is not positive"),
        ("lse(r=0.0)", "r=0.0 is not positive"),
        ("attention(heads=3)", "3 heads do not divide 8 channels"),
    ],
)
def test_mistakes_are_refused_with_the_field(pooling, message):
    with pytest.raises(UserError, match=message) as error:
        Head(pooling, 3, Style()).init(KEYS, jnp.ones((1, 2, 2, 8)), False)
    assert str(error.value).startswith("model.head: ")
