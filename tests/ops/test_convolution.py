"""Convolution and what of it has no window of its own: dilation, groups, subsampling, averages."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.ops.average import avg_pool, subsample
from cnn.ops.convolution import conv
from tests.ops.cases import assert_agree, image
from tests.ops.oracles import ORACLES

CASES = [
    dict(strides=1, padding="SAME", dilation=2),
    dict(strides=2, padding="SAME", dilation=2),
    dict(strides=2, padding="VALID", dilation=2),
    dict(strides=1, padding="torch", dilation=2),
    dict(strides=1, padding="CIRCULAR", dilation=2),
    dict(strides=2, padding="REFLECT", groups=2),
    dict(strides=1, padding="SAME", dilation=2, groups=4),
]


@pytest.mark.parametrize("spatial", [(9,), (7, 8), (5, 6, 5)])
def test_dilated_and_grouped_convolution_agree_with_the_oracle(spatial):
    def cases(op):
        kernels = {
            groups: image((2, *(3,) * (len(spatial) - 1)), 8, 4 // groups, groups)
            for groups in (1, 2, 4)
        }
        return {
            str(case): partial(
                op, kernel=np.moveaxis(kernels[case.get("groups", 1)], 0, -2), **case
            )
            for case in CASES
        }

    assert_agree(cases(conv), cases(ORACLES["conv"]), image(spatial, 4), rtol=1e-4, atol=1e-5)


def test_a_dilated_kernel_counts_as_large_as_it_spans():
    kernel = jnp.ones((3, 3, 3, 1))
    with pytest.raises(UserError, match=r"window: \(5, 5\) is larger than the input"):
        conv(image((4, 4)), kernel, 1, "VALID", dilation=2)
    with pytest.raises(UserError, match="dilation: 0 does not fit"):
        conv(image((4, 4)), kernel, 1, "VALID", dilation=0)


@pytest.mark.parametrize("spatial", [(7,), (6, 5), (4, 3, 5)])
def test_subsample_agrees_with_the_oracle_and_with_a_strided_1x1_convolution(spatial):
    x, eye = image(spatial), np.eye(3, dtype=np.float32).reshape(*(1,) * len(spatial), 3, 3)
    functions = {s: lambda x, s=s: subsample(x, s) for s in (1, 2, 3)}
    functions["conv"] = lambda x: conv(x, eye, 2, "VALID")
    oracles = {s: partial(ORACLES["subsample"], strides=s) for s in (1, 2, 3)}
    assert_agree(functions, oracles | {"conv": oracles[2]}, x, rtol=0)


def test_averages_with_and_without_the_padding_are_those_of_flax():
    def pairs(x):
        return [
            (
                avg_pool(x, 3, 2, padding, count_padding=count),
                nn.avg_pool(x, (3, 3), (2, 2), padding, count_include_pad=count),
            )
            for padding in ("SAME", ((1, 1), (1, 1)))
            for count in (True, False)
        ]

    found = jax.jit(pairs)(image((6, 7)))
    for ours, flax in found:
        np.testing.assert_allclose(ours, flax, rtol=1e-5, atol=1e-6)
    assert np.abs(found[0][0] - found[1][0]).max() > 0.1
