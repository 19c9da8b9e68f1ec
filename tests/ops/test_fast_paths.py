"""The forms that are quick on CPU: values and gradients of both arguments, in any placement."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cnn.ops.convolution import conv, depthwise_conv
from cnn.ops.max_pool import max_pool
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

# spatial, window, channels, features, strides, padding, dilation
DENSE = [
    ((7, 6), (3, 3), 3, 4, 1, "SAME", 1),
    ((7, 6), (3, 3), 4, 3, 2, "SAME", 1),
    ((8, 7), (2, 3), 1, 5, (2, 1), "torch", 1),
    ((9, 8), (3, 2), 5, 6, (1, 3), "VALID", (2, 3)),
    ((6, 7), (3, 3), 2, 2, 2, "CIRCULAR", 1),
    ((6, 5), (4, 4), 3, 2, 1, "REFLECT", 1),
    ((5, 6), (3, 3), 4, 3, 2, ((2, 0), (0, 3)), 1),
    ((5, 6), (1, 1), 4, 3, 2, ((1, 0), (0, 2)), 1),
    ((1, 1), (1, 1), 2, 3, 1, "SAME", 1),
    ((11,), (4,), 3, 2, 3, "SAME", 1),
    ((9,), (1,), 3, 2, 2, "VALID", 1),
    ((4, 3, 5), (2, 3, 2), 3, 2, (1, 2, 2), "SAME", 1),
    ((3, 4, 4), (3, 1, 2), 5, 2, 1, "REFLECT", 1),
    # Several outputs at once on CPU, and one where the elements of the kernel lie apart.
    ((5, 12), (3, 3), 3, 32, 1, "SAME", 1),
    ((6, 12), (3, 3), 3, 24, 2, "torch", 1),
    ((5, 15), (3, 3), 2, 31, (1, 3), "CIRCULAR", 1),
    ((4, 8), (2, 3), 3, 16, 1, "REFLECT", (1, 2)),
    ((7, 9), (2, 3), 3, 16, 2, "VALID", 2),
    ((24,), (5,), 4, 16, 2, ((3, 2),), 1),
    ((2, 3, 6), (1, 3, 3), 3, 16, (1, 1, 2), "SAME", 1),
]

BOTH = pytest.mark.parametrize(
    ("op", "kernel_shape"),
    [(depthwise_conv, (3, 3, 4)), (conv, (3, 3, 4, 4)), (conv, (1, 1, 4, 4))],
    ids=["depthwise", "dense", "pointwise"],
)


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


@pytest.mark.parametrize(
    ("spatial", "size", "channels", "features", "strides", "padding", "dilation"), DENSE
)
def test_dense_value_and_both_gradients(
    spatial, size, channels, features, strides, padding, dilation
):
    x, kernel = arrays((2, *spatial, channels), (*size, channels, features))
    options = {"strides": strides, "padding": padding, "dilation": dilation}
    reference = partial(oracles.conv, **options)
    y = reference(x, kernel)
    (g,) = arrays(y.shape)
    got = jax.jit(partial(value_and_gradients, partial(conv, **options)))(x, kernel, g)
    assert_close(got, (y, *by_bases(reference, x, kernel, g)))


@BOTH
def test_bfloat16_rounds_once(op, kernel_shape):
    shapes = ((2, 9, 9, 4), kernel_shape, (2, 9, 9, 4))
    x, kernel, g = (jnp.asarray(a, jnp.bfloat16) for a in arrays(*shapes))
    step = jax.jit(partial(value_and_gradients, partial(op, strides=1, padding="SAME")))
    got = step(x, kernel, g)
    assert all(a.dtype == jnp.bfloat16 for a in got)
    want = step(*(a.astype(jnp.float32) for a in (x, kernel, g)))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float32), b, rtol=2**-8, atol=1e-6)


@BOTH
def test_vmap_over_either_argument_is_a_loop(op, kernel_shape):
    x, kernel, g = arrays((2, 2, 5, 6, 4), (2, *kernel_shape), (2, 2, 3, 3, 4))
    one = partial(value_and_gradients, partial(op, strides=2, padding="SAME"))
    maps, loops = jax.jit(
        lambda x, k, g: (
            (jax.vmap(one)(x, k, g), jax.vmap(one, (0, None, 0))(x, k[0], g)),
            (
                [one(x[i], k[i], g[i]) for i in range(2)],
                [one(x[i], k[0], g[i]) for i in range(2)],
            ),
        )
    )(x, kernel, g)
    for got, want in zip(maps, loops, strict=True):
        assert_close(got, [np.stack(each) for each in zip(*want, strict=True)])


def test_each_platform_compiles_its_own_form_alone():
    x, depthwise, dense = arrays((2, 6, 6, 4), (3, 3, 4), (3, 3, 4, 4))
    op = partial(depthwise_conv, strides=1, padding="SAME")
    step = jax.jit(partial(value_and_gradients, op))
    assert "convolution" not in step.lower(x, depthwise, x).as_text()
    elsewhere = step.trace(x, depthwise, x).lower(lowering_platforms=("tpu",)).as_text()
    assert elsewhere.count("stablehlo.convolution") == 3
    assert "stablehlo.while" not in elsewhere
    step = jax.jit(partial(value_and_gradients, partial(conv, strides=1, padding="SAME")))
    assert step.lower(x, dense, x).as_text().count("stablehlo.convolution") == 2
    elsewhere = step.trace(x, dense, x).lower(lowering_platforms=("tpu",)).as_text()
    assert elsewhere.count("stablehlo.convolution") == 3
    assert "stablehlo.while" not in elsewhere


@BOTH
def test_a_batch_over_devices_meets_in_one_sum(op, kernel_shape):
    x, kernel = arrays((8, 6, 6, 4), kernel_shape)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    split, whole = (NamedSharding(mesh, spec) for spec in (PartitionSpec("batch"), PartitionSpec()))
    step = partial(value_and_gradients, partial(op, strides=1, padding="SAME"))
    sharded = jax.jit(step, in_shardings=(split, whole, split), out_shardings=(split, split, whole))
    text = sharded.lower(x, kernel, x).compile().as_text()
    assert text.count(" all-reduce(") == 1
    assert not [op for op in ("all-gather(", "all-to-all(", "collective-permute(") if op in text]
    want = jax.jit(step)(x, kernel, x)
    assert_close(sharded(x, kernel, x), [np.asarray(a) for a in want])


# spatial, window, strides, padding; XLA has no other kind of padding than with -inf.
POOLS = [
    ((8, 6), 2, 2, "VALID"),
    ((7, 6), 3, 2, "SAME"),
    ((5, 6), 3, 1, "SAME"),
    ((9, 8), (4, 2), (3, 3), "VALID"),
    ((11,), 5, 2, "SAME"),
    ((4, 5, 3), (2, 3, 2), (2, 2, 1), "SAME"),
]


def test_max_pool_gives_ties_to_whom_select_and_scatter_does():
    rng = np.random.default_rng(0)
    runs = []
    for spatial, window, strides, padding in POOLS:
        ndim = len(spatial)
        # Few values, so that most windows hold their largest one more than once.
        x = rng.integers(0, 3, (2, *spatial, 3)).astype(np.float32)
        sizes = tuple((n,) * ndim if isinstance(n, int) else n for n in (window, strides))
        native = partial(nn.max_pool, window_shape=sizes[0], strides=sizes[1], padding=padding)
        ours = partial(max_pool, window=window, strides=strides, padding=padding)
        # Whole numbers, whose sums are exact in any order.
        g = rng.integers(-9, 9, jax.eval_shape(native, x).shape).astype(np.float32)
        runs.append((native, ours, x, g))

    def gradients(pool, x, g):
        y, pullback = jax.vjp(pool, x)
        return y, *pullback(g)

    both = jax.jit(lambda: [[gradients(f, x, g) for f in fs] for *fs, x, g in runs])()
    for want, got in both:
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)
