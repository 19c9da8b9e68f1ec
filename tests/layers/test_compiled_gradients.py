"""Gradients of compiled networks, in which XLA may compute an operator's input more than once."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnn
from cnn.layers.downsample import DOWNSAMPLERS
from cnn.layers.heads import HEADS

# Those that select elements, where a choice that is made twice can differ.
SELECTING = ("max", "max_blur", "max_aps", "s3", "mixed", "fractional", "median")
HEADS_THAT_SELECT = ("simpool", "max", "gem")


def some(names: Sequence[str], count: int) -> list:
    """All names, of which the first few cover the kinds of choice."""
    rest = [pytest.param(name, marks=pytest.mark.exhaustive) for name in names[count:]]
    return [*names[:count], *rest]


def textures() -> jax.Array:
    """Noise on a constant background, as objects on paper: windows of the background are ties."""
    x = np.full((16, 20, 20, 1), -0.8, np.float32)
    x[:, 5:16, 7:13] += np.random.default_rng(0).uniform(0, 3, (16, 11, 6, 1)).astype(np.float32)
    return jnp.asarray(x)


def rectangles() -> jax.Array:
    """Rectangles of one colour on a constant background: most values are ties."""
    rng = np.random.default_rng(0)
    x = np.zeros((32, 16, 16, 3), np.float32)
    for image in (*x, *x):
        (top, left), (height, width) = rng.integers(0, 12, 2), rng.integers(2, 8, 2)
        image[top : top + height, left : left + width] = rng.random(3)
    return jnp.asarray((x - 0.3) / 0.35)


def assert_compiled_gradients_are_exact(x, features, **fields):
    network = cnn.build("plain", num_classes=5, features=features, **fields)
    variables = network.init(jax.random.key(0), x, False)
    targets = jax.nn.one_hot(np.arange(len(x)) % 5, 5)

    def loss(params):
        logits, _ = network.apply(
            {**variables, "params": params},
            x,
            True,
            mutable=[name for name in variables if name != "params"],
            rngs={"dropout": jax.random.key(1)},
        )
        return -(targets * jax.nn.log_softmax(logits)).sum()

    # The tests' own level fuses little.
    compiled = jax.jit(jax.grad(loss), compiler_options={"xla_backend_optimization_level": 3})(
        variables["params"]
    )
    with jax.disable_jit():
        exact = jax.grad(loss)(variables["params"])
    # A sum that cancels is only as exact as its terms.
    largest = max(np.abs(b).max() for b in jax.tree.leaves(exact))
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(compiled), jax.tree.leaves(exact), strict=True
    ):
        scale = max(np.abs(b).max(), 0.01 * largest)
        np.testing.assert_allclose(a / scale, b / scale, atol=1e-4, err_msg=str(path))


@pytest.mark.parametrize("downsample", some(SELECTING, 3))
def test_operators_that_select_elements(downsample):
    assert_compiled_gradients_are_exact(textures(), (6, 8), downsample=downsample)


@pytest.mark.parametrize("head", some(HEADS_THAT_SELECT, 2))
def test_heads_that_select_elements(head):
    assert_compiled_gradients_are_exact(rectangles(), (4, 6), head=head)


@pytest.mark.exhaustive
@pytest.mark.parametrize("downsample", sorted(set(DOWNSAMPLERS) - set(SELECTING)))
def test_all_other_operators(downsample):
    assert_compiled_gradients_are_exact(textures(), (6, 8), downsample=downsample)


@pytest.mark.exhaustive
@pytest.mark.parametrize("head", sorted(set(HEADS) - set(HEADS_THAT_SELECT)))
def test_all_other_heads(head):
    assert_compiled_gradients_are_exact(rectangles(), (4, 8), head=head)
