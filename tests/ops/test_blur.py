"""Blur pooling in each dialect, its sampling positions, and its identities."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.ops.average import avg_pool
from cnn.ops.blur import blur
from cnn.ops.convolution import conv
from tests.ops.cases import assert_agree, compiled, image
from tests.ops.oracles import ORACLES

CASES = [
    dict(taps=2, strides=2, padding="adobe"),
    dict(taps=3, strides=2, padding="adobe"),
    dict(taps=4, strides=2, padding="adobe"),
    dict(taps=4, strides=2, padding="timm"),
    dict(taps=3, strides=3, padding="timm"),
    dict(taps=5, strides=2, padding="composer"),
    dict(taps=3, strides=1, padding="ffcv"),
    dict(taps=4, strides=2, padding="CIRCULAR"),
    dict(taps=3, strides=2, padding="SAME"),
]
WIDE = [dict(taps=taps, strides=2, padding="adobe") for taps in (5, 6, 7)]


@pytest.mark.parametrize(
    ("spatial", "cases"),
    [((9,), CASES), ((8, 9), CASES), ((6, 5, 4), CASES[1:4]), ((12, 11), WIDE)],
    ids=["1d", "2d", "3d", "wide"],
)
def test_agrees_with_the_oracle(spatial, cases):
    ours = {str(case): partial(blur, **case) for case in cases}
    oracles = {str(case): partial(ORACLES["blur"], **case) for case in cases}
    assert_agree(ours, oracles, image(spatial), atol=1e-6)


def test_each_dialect_samples_where_it_says():
    # A ramp keeps its value under a symmetric filter: the output tells the centre.
    centres = {
        (3, "adobe"): (0, 8),
        (4, "adobe"): (0.5, 8),
        (3, "timm"): (0, 8),
        (4, "timm"): (-0.5, 9),
        (5, "composer"): (0, 8),
        (3, "ffcv"): (0, 8),
    }
    ramp = np.arange(16, dtype=np.float32)[None, :, None]
    functions = {case: partial(blur, taps=case[0], strides=2, padding=case[1]) for case in centres}
    for case, y in compiled(functions, ramp).items():
        offset, outputs = centres[case]
        assert y.shape == (1, outputs, 1)
        np.testing.assert_allclose(y[0, 2:6, 0], 2 * np.arange(2, 6) + offset, atol=1e-5)


def test_a_constant_stays_constant_where_padding_mirrors_and_darkens_where_it_is_zero():
    functions = {
        case: partial(blur, taps=case[0], strides=2, padding=case[1])
        for case in ((4, "adobe"), (4, "timm"), (3, "ffcv"))
    }
    y = compiled(functions, np.ones((1, 8, 8, 2), np.float32))
    np.testing.assert_allclose(y[4, "adobe"], 1, atol=1e-6)
    np.testing.assert_allclose(y[4, "timm"], 1, atol=1e-6)
    np.testing.assert_allclose(y[3, "ffcv"][0, 0, 0], 9 / 16, atol=1e-6)


def test_two_taps_are_the_average_of_two():
    a, b = jax.jit(lambda x: (blur(x, 2, 2, "adobe"), avg_pool(x, 2, 2, "VALID")))(image((8, 6)))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_blur_then_a_strided_convolution_is_one_larger_strided_convolution():
    kernel = image((3, 3), channels=5, batch=4).transpose(1, 2, 0, 3)
    tap = np.float32([1, 2, 1]) / 4
    merged = np.zeros((5, 5, 4, 5), np.float32)
    for i in range(3):
        for j in range(3):
            merged[i : i + 3, j : j + 3] += kernel * tap[i] * tap[j]
    two, one = jax.jit(
        lambda x: (conv(blur(x, 3, 1, "VALID"), kernel, 2, "VALID"), conv(x, merged, 2, "VALID"))
    )(image((9, 9), channels=4))
    np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)


def test_bfloat16_stays_within_its_precision_of_float32():
    x = image((8, 8)).astype(jnp.bfloat16)
    y = jax.jit(lambda x: blur(x, 3, 2, "SAME"))(x)
    assert y.dtype == jnp.bfloat16
    exact = ORACLES["blur"](x.astype(np.float64), 3, 2, "SAME")
    np.testing.assert_allclose(np.asarray(y, np.float64), exact, atol=0.03)


@pytest.mark.parametrize(
    ("spatial", "taps", "padding", "message"),
    [
        ((8,), 1, "adobe", "2 to 7"),
        ((8,), 8, "adobe", "2 to 7"),
        ((8,), 3, "abobe", "did you mean 'adobe'"),
        ((8,), 4, "composer", "odd number of taps"),
        ((8,), 5, "ffcv", "3 taps"),
        ((1, 4), 3, "adobe", "needs an input larger than"),
        ((2, 2), 4, "timm", "needs an input larger than"),
        ((2,), 5, "VALID", "larger than the input"),
    ],
)
def test_bad_input_is_refused(spatial, taps, padding, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(lambda x: blur(x, taps, 2, padding), image(spatial))
