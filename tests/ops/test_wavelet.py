"""Wavelet pooling against PyWavelets, its scale and its identities."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from cnn.config.errors import UserError
from cnn.ops.average import avg_pool
from cnn.ops.wavelet import WAVELETS, wavelet_pool
from tests.ops.cases import image
from tests.ops.oracles_frequency import ORACLES

CASES = [
    ((8,), 2),
    ((7,), 2),
    ((9,), 4),
    ((1,), 2),
    ((2,), 2),
    ((8, 6), 2),
    ((5, 8), (2, 1)),
    ((1, 6), 2),
    ((6, 5, 4), (2, 4, 2)),
]
wavelets = pytest.mark.parametrize("wavelet", WAVELETS)


@wavelets
def test_agrees_with_pywavelets(wavelet):
    xs = [image(spatial) for spatial, _ in CASES]
    strides = [strides for _, strides in CASES]
    pool = jax.jit(lambda xs: list(map(partial(wavelet_pool, wavelet=wavelet), xs, strides)))
    for x, y, s in zip(xs, pool(xs), strides, strict=True):
        expected = ORACLES["wavelet_pool"](x, s, wavelet=wavelet)
        assert y.dtype == jnp.float32
        np.testing.assert_allclose(y, expected, atol=2e-6, err_msg=f"{x.shape} by {s}")


def test_haar_is_the_average_times_the_square_root_of_its_elements():
    for spatial, gain in (((8,), 2**0.5), ((8, 6), 2.0), ((4, 6, 2), 8**0.5)):
        x = image(spatial)
        np.testing.assert_allclose(wavelet_pool(x, 2), gain * avg_pool(x, 2, 2, "VALID"), atol=1e-5)


@wavelets
def test_constants_grow_by_the_square_root_of_two_an_axis_and_level(wavelet):
    ones = jnp.ones((1, 8, 4, 1))
    np.testing.assert_allclose(wavelet_pool(ones, (4, 2), wavelet=wavelet), 2**1.5, rtol=1e-6)


@wavelets
def test_stride_one_is_the_identity(wavelet):
    x = image((4, 5))
    np.testing.assert_array_equal(wavelet_pool(x, 1, wavelet=wavelet), x)


@wavelets
def test_one_two_and_three_dimensions_agree(wavelet):
    x = image((8,))
    line = wavelet_pool(x, 2, wavelet=wavelet)
    plane = wavelet_pool(x[:, :, None], (2, 1), wavelet=wavelet)
    space = wavelet_pool(x[:, None, :, None], (1, 2, 1), wavelet=wavelet)
    np.testing.assert_allclose(plane[:, :, 0], line, atol=1e-6)
    np.testing.assert_allclose(space[:, 0, :, 0], line, atol=1e-6)


@wavelets
def test_vmap_is_a_loop(wavelet):
    x = image((6, 5))[:, None]
    pool = jax.jit(lambda x: wavelet_pool(x, 2, wavelet=wavelet))
    np.testing.assert_allclose(
        jax.jit(jax.vmap(pool))(x), jnp.stack([pool(one) for one in x]), atol=1e-6
    )


@wavelets
def test_bfloat16_is_computed_in_float32_and_rounded_once(wavelet):
    x = image((8, 6)).astype(jnp.bfloat16)
    pool = jax.jit(lambda x: wavelet_pool(x, 2, wavelet=wavelet))
    y = pool(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, pool(x.astype(jnp.float32)).astype(jnp.bfloat16))


@wavelets
def test_gradients_agree_with_finite_differences(wavelet):
    with jax.enable_x64(True):
        x = jnp.asarray(image((5, 4), channels=1, batch=1), jnp.float64)
        pool = jax.jit(lambda x: wavelet_pool(x, 2, wavelet=wavelet))
        check_grads(pool, (x,), order=1, modes=["rev"])


def test_bad_arguments_are_refused():
    with pytest.raises(UserError, match="did you mean 'haar'"):
        wavelet_pool(image((8, 8)), 2, wavelet="harr")
    with pytest.raises(UserError, match="powers of 2"):
        wavelet_pool(image((8, 8)), 3)
