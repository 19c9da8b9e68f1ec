"""Stochastic, S3 and fractional max pooling: evaluation against oracles, training by frequency."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from cnn.config.errors import UserError
from cnn.ops.average import avg_pool
from cnn.ops.max_pool import max_pool
from cnn.ops.stochastic import fractional_max_pool, s3_pool, stochastic_pool
from tests.ops.cases import image
from tests.ops.oracles_random import ORACLES, graham_bounds, max_of_regions

OPERATORS = {
    "stochastic_pool": stochastic_pool,
    "s3_pool": s3_pool,
    "fractional_max_pool": fractional_max_pool,
}
WINDOWED = [
    ((9,), 2, 2, "VALID"),
    ((9,), 3, 2, "SAME"),
    ((1,), 2, 2, "SAME"),
    ((8, 7), 2, 2, "SAME"),
    ((8, 9), (3, 2), (2, 3), "torch"),
    ((6, 8), 3, 2, "CIRCULAR"),
    ((1, 6), 2, 2, "SAME"),
    ((4, 5, 6), 2, (2, 1, 2), "SAME"),
]
CASES = {
    "stochastic_pool": WINDOWED,
    "s3_pool": WINDOWED,
    "fractional_max_pool": [
        ((9,), 6),
        ((1,), 1),
        ((2,), 1),
        ((8, 7), 5),
        ((11, 5), (3, 4)),
        ((1, 6), (1, 4)),
        ((5, 6, 7), (3, 4, 5)),
    ],
}
SMALL = {
    "stochastic_pool": (2, 2, "VALID"),
    "s3_pool": (2, 2, "SAME"),
    "fractional_max_pool": (3,),
}
names = pytest.mark.parametrize("name", OPERATORS)
KEY = jax.random.key(7)


def with_gradient(operator, x):
    """The output and the gradient of its sum."""
    y, back = jax.vjp(operator, x)
    return y, back(jnp.ones_like(y))[0]


def within_sampling_error(counts, probabilities, draws):
    """Five standard deviations: a right sampler fails for one key in a million."""
    p = np.asarray(probabilities)
    return np.abs(np.asarray(counts) / draws - p) <= 5 * np.sqrt(p * (1 - p) / draws) + 1e-9


@names
def test_evaluation_agrees_with_the_oracle(name):
    xs = [image(spatial) for spatial, *_ in CASES[name]]
    arguments = [rest for _, *rest in CASES[name]]
    operator = partial(OPERATORS[name], key=None, train=False)
    ys = jax.jit(lambda xs: [operator(x, *rest) for x, rest in zip(xs, arguments, strict=True)])(xs)
    for x, y, rest in zip(xs, ys, arguments, strict=True):
        assert y.dtype == jnp.float32
        expected = ORACLES[name](x, *rest)
        np.testing.assert_allclose(y, expected, atol=1e-6, err_msg=f"{x.shape} {rest}")


@names
def test_keys_decide_and_vmap_is_a_loop(name):
    keys = jax.random.split(KEY, 4)
    x = jnp.broadcast_to(image((7, 6))[None], (4, 2, 7, 6, 3))
    train = jax.jit(lambda x, key: OPERATORS[name](x, *SMALL[name], key=key, train=True))
    loop = jnp.stack([train(*pair) for pair in zip(x, keys, strict=True)])
    np.testing.assert_array_equal(jax.jit(jax.vmap(train))(x, keys), loop)
    np.testing.assert_array_equal(train(x[0], keys[0]), loop[0])
    assert (loop != loop[0]).any()
    evaluate = jax.vmap(lambda x: OPERATORS[name](x, *SMALL[name], key=None, train=False))
    assert loop.shape == jax.eval_shape(evaluate, x).shape


def both(x):
    """Outputs of all operators, in training and in evaluation."""
    return [
        operator(x, *SMALL[name], key=KEY, train=train)
        for name, operator in OPERATORS.items()
        for train in (True, False)
    ]


def test_one_two_and_three_dimensions_agree():
    # Along an axis of one element nothing is drawn.
    line = jnp.abs(image((9,), channels=1))
    arguments = {
        "stochastic_pool": lambda n: ((2, *n), (2, *n), "VALID"),
        "s3_pool": lambda n: ((2, *n), (2, *n), "VALID"),
        "fractional_max_pool": lambda n: ((3, *n),),
    }

    @jax.jit
    def pooled(x):
        return [
            [
                operator(x.reshape(2, 9, *n, 1), *arguments[name](n), key=KEY, train=train)
                for name, operator in OPERATORS.items()
                for train in (True, False)
            ]
            for n in ((), (1,), (1, 1))
        ]

    for one, two, three in zip(*pooled(line), strict=True):
        np.testing.assert_allclose(two.reshape(one.shape), one, atol=1e-6)
        np.testing.assert_allclose(three.reshape(one.shape), one, atol=1e-6)


def test_bfloat16_takes_the_choices_of_float32_and_rounds_once():
    x = image((7, 6)).astype(jnp.bfloat16)
    pool = jax.jit(both)
    for y, expected in zip(pool(x), pool(x.astype(jnp.float32)), strict=True):
        assert y.dtype == jnp.bfloat16
        np.testing.assert_array_equal(y, expected.astype(jnp.bfloat16))


def test_gradients_agree_with_finite_differences():
    with jax.enable_x64(True):
        x = jnp.asarray(image((7, 6), channels=1, batch=1), jnp.float64)
        check_grads(jax.jit(both), (x,), order=1, modes=["rev"])


def test_stochastic_pool_samples_elements_by_their_size():
    draws = 20_000
    row = jnp.asarray([1.0, 0.0, 2.0, -3.0, 5.0, 4.0, 0.0, 0.0])  # two windows of four
    x = jnp.broadcast_to(row[None, :, None], (1, 8, draws))
    first, second = jax.jit(lambda k: stochastic_pool(x, 4, 4, "VALID", key=k, train=True))(KEY)[0]
    for samples, sizes in ((first, {1: 1, 2: 2, 0: 0, -3: 0}), (second, {5: 5, 4: 4, 0: 0})):
        counts = [(samples == value).sum() for value in sizes]
        p = np.asarray(list(sizes.values())) / sum(sizes.values())
        assert within_sampling_error(counts, p, draws).all()
    joint = ((first == 2) & (second == 5)).sum()
    assert within_sampling_error(joint, 2 / 3 * 5 / 9, draws)


def test_stochastic_evaluation_is_the_mean_of_training():
    x = jnp.abs(image((6, 6)))
    train = jax.jit(jax.vmap(lambda k: stochastic_pool(x, 3, 2, "SAME", key=k, train=True)))
    samples = train(jax.random.split(KEY, 2000))
    expected = ORACLES["stochastic_pool"](x, 3, 2, "SAME")
    error = np.abs(samples.mean(0) - expected)
    assert (error <= 5 * np.asarray(samples.std(0)) / 2000**0.5 + 1e-6).all()


@pytest.mark.parametrize("train", [True, False])
def test_windows_without_a_positive_element_give_zero_and_finite_gradients(train):
    x = jnp.asarray([0.0, 0.0, -1.0, -2.0, 3.0, -1.0])[None, :, None]
    y, gradient = jax.jit(
        lambda x: with_gradient(
            lambda x: stochastic_pool(x, 2, 2, "VALID", key=KEY, train=train), x
        )
    )(x)
    np.testing.assert_array_equal(y[0, :, 0], [0, 0, 3])
    np.testing.assert_array_equal(gradient[0, :, 0], [0, 0, 0, 0, 1, 0])


@pytest.mark.parametrize("train", [True, False])
def test_stochastic_pool_does_not_hide_nan(train):
    x = jnp.ones((1, 8, 1)).at[0, 3].set(jnp.nan)
    y = jax.jit(lambda x: stochastic_pool(x, 4, 4, "VALID", key=KEY, train=train))(x)[0, :, 0]
    assert jnp.isnan(y[0])
    assert y[1] == 1


def test_the_gradient_of_a_sample_goes_to_the_sampled_element():
    x = jnp.abs(image((8, 6)))
    y, taken = jax.jit(
        lambda x: with_gradient(lambda x: stochastic_pool(x, 2, 2, "VALID", key=KEY, train=True), x)
    )(x)
    assert set(np.unique(taken)) == {0.0, 1.0}
    sums = avg_pool(taken * x, 2, 2, "VALID") * 4
    np.testing.assert_allclose(sums, y, rtol=1e-6)


def rows_of(n, stride, grid, draws):
    """Row indices that S3Pool takes, `[draws, outputs]`."""
    x = jnp.arange(float(n))[None, :, None]
    pool = partial(s3_pool, x, 1, stride, "VALID", train=True, grid=grid)
    return np.asarray(jax.jit(jax.vmap(lambda k: pool(key=k)))(jax.random.split(KEY, draws)))[
        :, 0, :, 0
    ].astype(int)


def test_s3_pool_takes_every_set_of_rows_of_a_strip_equally_often():
    draws = 4000
    rows = rows_of(11, 2, 4, draws)
    assert rows.shape[1] == 6
    assert (np.diff(rows, axis=1) > 0).all()
    for low, high, outputs in ((0, 4, slice(0, 2)), (4, 8, slice(2, 4)), (8, 11, slice(4, 6))):
        sets = list(itertools.combinations(range(low, high), 2))
        counts = [(rows[:, outputs] == pair).all(1).sum() for pair in sets]
        assert sum(counts) == draws
        assert within_sampling_error(counts, [1 / len(sets)] * len(sets), draws).all()
    # Strips are drawn apart from each other.
    joint = ((rows[:, :2] == (0, 1)) & (rows[:, 2:4] == (4, 5))).all(1).sum()
    assert within_sampling_error(joint, 1 / 36, draws)


def test_s3_pool_keeps_whole_rows_and_columns_of_the_maximum():
    x = image((8, 9), batch=2)
    y = np.asarray(jax.jit(lambda x: s3_pool(x, 2, 2, "SAME", key=KEY, train=True, grid=4))(x))
    z = np.asarray(max_pool(x, 2, 1, "SAME"))
    choices = [
        (rows, columns)
        for rows in itertools.combinations(range(8), 4)
        for columns in itertools.combinations(range(9), 5)
        if (z[0][np.ix_(rows, columns)] == y[0]).all()
    ]
    assert len(choices) == 1
    rows, columns = choices[0]
    np.testing.assert_array_equal(y, z[:, rows][:, :, columns])


def test_s3_evaluation_is_the_mean_of_training_with_strips_of_the_stride():
    x = image((5, 6), channels=1, batch=1)
    pool = partial(s3_pool, x, 2, (2, 3), "SAME")
    samples = jax.jit(jax.vmap(lambda k: pool(key=k, train=True)))(jax.random.split(KEY, 3000))
    error = np.abs(samples.mean(0) - ORACLES["s3_pool"](x, 2, (2, 3), "SAME"))
    assert (error <= 5 * np.asarray(samples.std(0)) / 3000**0.5 + 1e-6).all()


@pytest.mark.parametrize("overlapping", [True, False])
@pytest.mark.parametrize(("n", "m"), [(11, 7), (9, 4), (8, 7)])
def test_fractional_regions_are_the_paper_s_and_all_occur(overlapping, n, m):
    x = image((n,), channels=2, batch=1)
    span = n - 1 if overlapping else n
    bounds = {tuple(graham_bounds(span, m, u / span)) for u in range(span)}
    for sequence in bounds:
        assert (sequence[0], sequence[-1]) == (0, span)
        assert set(np.diff(sequence)) <= {span // m, -(-span // m)}
    possible = [max_of_regions(x, [b], overlapping) for b in bounds]
    pool = partial(fractional_max_pool, x, m, train=True, overlapping=overlapping)
    samples = jax.jit(jax.vmap(lambda k: pool(key=k)))(jax.random.split(KEY, 200))
    matches = np.asarray([[np.allclose(y, p) for p in possible] for y in np.asarray(samples)])
    assert matches.any(1).all()
    assert matches.any(0).all()


@pytest.mark.parametrize(
    ("overlapping", "size", "spatial"), [(True, 3, (9, 7)), (False, 2, (8, 6))]
)
def test_whole_ratios_are_max_pooling_with_its_ties(overlapping, size, spatial):
    sizes = [(n - size) // 2 + 1 for n in spatial]
    g = image(sizes, seed=1)

    @jax.jit
    def with_gradients(x):
        def fractional(x):
            return fractional_max_pool(x, sizes, key=None, train=False, overlapping=overlapping)

        plain = partial(max_pool, window=size, strides=2, padding="VALID")
        return [(y, back(g)[0]) for y, back in (jax.vjp(fractional, x), jax.vjp(plain, x))]

    (y, gradient), (expected, expected_gradient) = with_gradients(jax.nn.relu(image(spatial)))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


def test_fractional_regions_differ_between_axes_and_keep_nan():
    x = jnp.broadcast_to(jnp.arange(9.0)[:, None] * 10 + jnp.arange(9.0), (1, 9, 9))[..., None]
    pool_once = jax.jit(lambda x, k: fractional_max_pool(x, 6, key=k, train=True))
    corners = np.stack([pool_once(x, key)[0, :, :, 0] for key in jax.random.split(KEY, 10)])
    rows, columns = corners[:, :, -1] // 10, corners[:, -1, :] % 10
    assert (rows != columns).any()
    assert jnp.isnan(pool_once(x.at[0, 4, 4].set(jnp.nan), KEY)).any()


def test_bad_arguments_are_refused():
    x = image((8, 8))
    with pytest.raises(UserError, match="is not a multiple of the strides"):
        s3_pool(x, 2, 2, "SAME", key=KEY, train=True, grid=3)
    with pytest.raises(UserError, match=r"use at most \(7, 7\)"):
        fractional_max_pool(x, 8, key=KEY, train=True)
    with pytest.raises(UserError, match=r"use at most \(8, 8\)"):
        fractional_max_pool(x, 9, key=KEY, train=True, overlapping=False)
    with pytest.raises(UserError, match="larger than the input"):
        stochastic_pool(x, 9, 2, "VALID", key=KEY, train=True)
