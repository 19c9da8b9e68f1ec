"""Spectral pooling and its kin against sums of waves, and what each of them promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from jax.test_util import check_grads

from cnn.config.errors import UserError
from cnn.ops.spectral import asap, diffstride, flc_pool, spectral_pool
from tests.ops.cases import image
from tests.ops.oracles_frequency import ORACLES

OPERATORS = {
    "spectral_pool": spectral_pool,
    "flc_pool": flc_pool,
    "asap": asap,
    "diffstride": lambda x, strides: diffstride(x, jnp.asarray(3.0), strides, smoothness=2.0),
}
ORACLE = {
    **ORACLES,
    "diffstride": lambda x, strides: ORACLES["diffstride"](x, 3.0, strides, smoothness=2.0),
}
CASES = [
    ((12,), 2),
    ((7,), 3),
    ((1,), 2),
    ((2,), 2),
    ((3,), 5),
    ((9, 8), (2, 1)),
    ((1, 6), 2),
    ((8, 7, 4), (2, 3, 2)),
]
names = pytest.mark.parametrize("name", OPERATORS)


def wave(n: int, frequencies: dict[float, float], phase: float) -> np.ndarray:
    """A sum of cosines sampled n times over one period."""
    t = 2 * np.pi * np.arange(n) / n
    return sum(a * np.cos(k * t + phase * (k + 1)) for k, a in frequencies.items())


@names
def test_agrees_with_the_oracle(name):
    xs = [image(spatial) for spatial, _ in CASES]
    strides = [strides for _, strides in CASES]
    ys = jax.jit(lambda xs: list(map(OPERATORS[name], xs, strides)))(xs)
    for x, y, s in zip(xs, ys, strides, strict=True):
        assert y.dtype == jnp.float32
        np.testing.assert_allclose(y, ORACLE[name](x, s), atol=2e-6, err_msg=f"{x.shape} by {s}")


@pytest.mark.parametrize("operator", [spectral_pool, flc_pool])
@pytest.mark.parametrize(("n", "stride"), [(16, 2), (15, 2), (18, 4)])
def test_band_limited_signals_are_resampled_without_error(operator, n, stride):
    m = -(-n // stride)
    frequencies = {k: 1.0 + k for k in range((m + 1) // 2)}
    fine, coarse = (wave(size, frequencies, 0.3) for size in (n, m))
    y = jax.jit(operator, static_argnums=1)(
        jnp.float32(np.outer(fine, fine))[None, ..., None], stride
    )
    np.testing.assert_allclose(y[0, ..., 0], np.outer(coarse, coarse), atol=2e-4)


def test_frequencies_above_the_new_limit_vanish_where_subsampling_folds_them():
    n = 16
    high = jnp.float32(wave(n, {5: 1.0, 7: 1.0}, 0.3))[None, :, None]
    assert jnp.abs(high[:, ::2]).max() > 0.5
    pooled = jax.jit(lambda x: [f(x, 2) for f in (spectral_pool, flc_pool, asap)])(high)
    np.testing.assert_allclose(pooled, 0, atol=1e-6)


def test_stride_one_is_the_identity():
    x = image((6, 5))
    for operator in (spectral_pool, flc_pool):
        np.testing.assert_allclose(operator(x, 1), x, atol=1e-6)


@names
def test_constants_and_means_are_kept(name):
    operator = jax.jit(OPERATORS[name], static_argnums=1)
    np.testing.assert_allclose(operator(jnp.full((1, 8, 6, 1), 3.0), 2), 3, rtol=1e-6)
    x = image((8, 6))
    np.testing.assert_allclose(operator(x, 2).mean((1, 2)), x.mean((1, 2)), atol=1e-6)


@names
def test_commutes_with_circular_shifts_of_whole_outputs(name):
    x = image((8, 6))
    operator = jax.jit(OPERATORS[name], static_argnums=1)
    shifted = operator(jnp.roll(x, (2, 4), (1, 2)), 2)
    np.testing.assert_allclose(shifted, jnp.roll(operator(x, 2), (1, 2), (1, 2)), atol=2e-6)


def test_differs_from_scipy_in_the_nyquist_bin_alone():
    x = np.asarray(image((12,)), np.float64)
    full = scipy.signal.resample(x, 6, axis=1)
    half = np.fft.fft(np.asarray(spectral_pool(jnp.asarray(x, jnp.float32), 2)), axis=1)
    full = np.fft.fft(full, axis=1)
    np.testing.assert_allclose(half[:, [0, 1, 2, 4, 5]], full[:, [0, 1, 2, 4, 5]], atol=1e-5)
    np.testing.assert_allclose(half[:, 3], full[:, 3] / 2, atol=1e-5)
    # An odd size has no Nyquist bin.
    odd = scipy.signal.resample(x[:, :9], 5, axis=1)
    np.testing.assert_allclose(spectral_pool(jnp.float32(x[:, :9]), 2), odd, atol=1e-6)


def test_flc_is_spectral_pooling_but_where_two_axes_are_at_nyquist():
    xs = [image(spatial) for spatial in ((12,), (10, 9), (12, 16))]
    gaps = jax.jit(lambda xs: [flc_pool(x, 2) - spectral_pool(x, 2) for x in xs])(xs)
    for gap in gaps[:2]:
        np.testing.assert_allclose(gap, 0, atol=1e-6)
    spectrum = np.abs(np.fft.fft2(gaps[2], axes=(1, 2)))
    assert spectrum[:, 3, 4].min() > 0.05
    spectrum[:, 3, 4] = 0
    np.testing.assert_allclose(spectrum, 0, atol=2e-5)


@names
def test_one_two_and_three_dimensions_agree(name):
    x = image((9,))
    forms = (x, x[:, :, None], x[:, None, :, None])
    line, *others = jax.jit(lambda xs: [OPERATORS[name](x, 2) for x in xs])(forms)
    for other in others:
        np.testing.assert_allclose(other.reshape(line.shape), line, atol=1e-6)


@names
def test_vmap_is_a_loop(name):
    x = image((6, 5))[:, None]
    operator = jax.jit(OPERATORS[name], static_argnums=1)
    mapped = jax.jit(jax.vmap(lambda x: OPERATORS[name](x, 2)))(x)
    np.testing.assert_allclose(mapped, jnp.stack([operator(one, 2) for one in x]), atol=1e-6)


@names
def test_bfloat16_is_computed_in_float32_and_rounded_once(name):
    x = image((8, 6)).astype(jnp.bfloat16)
    operator = jax.jit(OPERATORS[name], static_argnums=1)
    y = operator(x, 2)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, operator(x.astype(jnp.float32), 2).astype(jnp.bfloat16))


@names
def test_gradients_agree_with_finite_differences(name):
    with jax.enable_x64(True):
        x = jnp.asarray(image((6, 5), channels=1, batch=1), jnp.float64)
        check_grads(jax.jit(lambda x: OPERATORS[name](x, 2)), (x,), order=1, modes=["rev"])


def test_the_gradient_of_the_learned_stride_agrees_with_finite_differences():
    with jax.enable_x64(True):
        x = jnp.asarray(image((16, 20), channels=1, batch=1), jnp.float64)
        op = jax.jit(lambda s: diffstride(x, s, 2, smoothness=3.0))
        # Off the corners of the clip, where the derivative jumps.
        check_grads(op, (jnp.asarray([3.91, 4.13]),), order=1, modes=["rev"])


def test_the_learned_stride_passes_less_as_it_grows_and_never_gets_stuck():
    x = image((16, 16))
    power = jax.jit(lambda s: jnp.square(diffstride(x, s, 2)).sum())
    assert power(4.0) > power(5.0) > power(6.0)
    # At and beyond both limits, n / (m - R) = 4 and n / 2 = 8, values stay and gradients live.
    np.testing.assert_allclose(power(1.0), power(4.0), rtol=1e-6)
    np.testing.assert_allclose(power(50.0), power(8.0), rtol=1e-6)
    gradient = jax.jit(jax.grad(lambda s: jnp.square(diffstride(x, s, 2)).sum()))
    for s in (1.0, 2.0, 5.0, 50.0):
        assert gradient(s) < -1e-3


def test_bad_arguments_are_refused():
    x = image((8, 8))
    with pytest.raises(UserError, match="smoothness"):
        diffstride(x, jnp.ones(()), 2, smoothness=0.0)
    with pytest.raises(UserError, match=r"shape \(3,\) does not fit 2"):
        diffstride(x, jnp.ones(3), 2)
    with pytest.raises(UserError, match="strides"):
        spectral_pool(x, 0)
