"""The forms that are quick on CPU: values and gradients of both arguments, in any placement."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cnn.ops.convolution import depthwise_conv
from tests.ops import oracles

# spatial, window, strides, padding
DEPTHWISE = [
    ((7, 6), 3, 1, "SAME"),
    ((7, 6), 3, 2, "SAME"),
    ((8, 7), (2, 3), (2, 1), "torch"),
    ((9, 8), (5, 2), (3, 2), "VALID"),
    ((6, 7), 3, 2, "CIRCULAR"),
    ((6, 5), 4, 1, "REFLECT"),
    ((5, 6), 3, 2, ((2, 0), (0, 3))),
    ((1, 1), 1, 1, "SAME"),
    ((11,), 4, 3, "SAME"),
    ((9,), 3, 1, "CIRCULAR"),
    ((4, 3, 5), (2, 3, 2), (1, 2, 2), "SAME"),
    ((3, 4, 4), 3, 1, "REFLECT"),
]


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def by_bases(op, x, kernel, g):
    """Gradients of sum(op(x, kernel) * g) in float64, from the outputs of unit inputs."""
    units = np.eye(x[0].size).reshape(-1, *x.shape[1:])
    outputs = op(units, kernel)
    dx = np.einsum("by,ny->bn", g.reshape(len(g), -1), outputs.reshape(len(units), -1))
    units = np.eye(kernel.size).reshape(-1, *kernel.shape)
    dkernel = np.array([(op(x, unit) * g).sum() for unit in units])
    return dx.reshape(x.shape), dkernel.reshape(kernel.shape)


def assert_close(got, want, tolerance=2e-6):
    """Elements agree within a share of the largest, as sums of cancelling terms can."""
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(
            np.asarray(a, np.float64), b, rtol=0, atol=tolerance * np.abs(b).max()
        )


def value_and_gradients(op, x, kernel, g):
    y, pullback = jax.vjp(op, x, kernel)
    return y, *pullback(g)


@pytest.mark.parametrize(("spatial", "window", "strides", "padding"), DEPTHWISE)
def test_depthwise_value_and_both_gradients(spatial, window, strides, padding):
    size = (window,) * len(spatial) if isinstance(window, int) else window
    x, kernel = arrays((2, *spatial, 3), (*size, 3))
    reference = partial(oracles.depthwise_conv, strides=strides, padding=padding)
    y = reference(x, kernel)
    (g,) = arrays(y.shape)
    op = partial(depthwise_conv, strides=strides, padding=padding)
    got = jax.jit(partial(value_and_gradients, op))(x, kernel, g)
    assert_close(got, (y, *by_bases(reference, x, kernel, g)))


def test_depthwise_in_bfloat16_rounds_once():
    x, kernel, g = (
        jnp.asarray(a, jnp.bfloat16) for a in arrays((2, 9, 9, 3), (3, 3, 3), (2, 9, 9, 3))
    )
    op = partial(depthwise_conv, strides=1, padding="SAME")
    got = jax.jit(partial(value_and_gradients, op))(x, kernel, g)
    assert all(a.dtype == jnp.bfloat16 for a in got)
    want = jax.jit(partial(value_and_gradients, op))(
        *(a.astype(jnp.float32) for a in (x, kernel, g))
    )
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float32), b, rtol=2**-8, atol=1e-6)


def test_depthwise_maps_over_either_argument():
    x, kernel, g = arrays((4, 2, 5, 6, 3), (4, 3, 3, 3), (4, 2, 3, 3, 3))
    op = partial(value_and_gradients, partial(depthwise_conv, strides=2, padding="SAME"))
    mapped = jax.jit(
        lambda x, k, g: (jax.vmap(op)(x, k, g), jax.vmap(op, (0, None, 0))(x, k[0], g))
    )(x, kernel, g)
    both = [op(*each) for each in zip(x, kernel, g, strict=True)]
    first = [op(a, kernel[0], b) for a, b in zip(x, g, strict=True)]
    for got, want in zip(mapped, (both, first), strict=True):
        assert_close(got, [np.stack(each) for each in zip(*want, strict=True)])


def test_depthwise_compiles_without_the_native_convolution_on_cpu():
    x, kernel = arrays((2, 6, 6, 3), (3, 3, 3))
    op = partial(depthwise_conv, strides=1, padding="SAME")
    lowered = jax.jit(partial(value_and_gradients, op)).lower(x, kernel, x)
    assert "convolution" not in lowered.as_text()
    elsewhere = jax.jit(op).trace(x, kernel).lower(lowering_platforms=("tpu",))
    assert elsewhere.as_text().count("stablehlo.convolution") == 1


def test_depthwise_over_a_sharded_batch_meets_in_one_sum():
    x, kernel = arrays((8, 6, 6, 3), (3, 3, 3))
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("batch"))
    whole = NamedSharding(mesh, PartitionSpec())
    op = partial(depthwise_conv, strides=1, padding="SAME")
    step = jax.jit(
        partial(value_and_gradients, op),
        in_shardings=(split, whole, split),
        out_shardings=(split, split, whole),
    )
    compiled = step.lower(x, kernel, x).compile()
    text = compiled.as_text()
    assert text.count(" all-reduce(") == 1
    for other in ("all-gather(", "all-to-all(", "collective-permute("):
        assert other not in text
    want = jax.jit(partial(value_and_gradients, op))(x, kernel, x)
    assert_close(step(x, kernel, x), [np.asarray(a) for a in want])
