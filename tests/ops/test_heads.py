"""Global pooling: oracles, the ends between mean and maximum, and what order and shifts change."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.ops import heads
from tests.ops.cases import assert_agree, compiled, image
from tests.ops.oracles import ORACLES

OURS = vars(heads)
NAMES = (
    "global_avg",
    "global_max",
    "global_avg_max",
    "global_cat_avg_max",
    "global_gem",
    "global_log_sum_exp",
)


def projection(inputs: int, outputs: int, seed: int):
    kernel, bias = image((inputs,), outputs, 1, seed)[0], image((), outputs, 1, seed + 50)[0]
    return kernel, bias


def attention_parameters(positions: int, channels: int):
    query, key, value = (projection(channels, channels, seed) for seed in (1, 2, 3))
    return image((positions + 1,), channels, 1, 9)[0], query, key, value, projection(channels, 5, 4)


@pytest.mark.parametrize("spatial", [(5,), (4, 3), (2, 3, 2), (1, 1)])
def test_agrees_with_the_oracle(spatial):
    keys, values = image(spatial, 4, seed=1), image(spatial, 4, seed=2)
    kernels = image((4,), 4, 2, 3)
    parameters = attention_parameters(int(np.prod(spatial)), 4)

    def cases(ops):
        attend = {
            "attention": lambda x: ops["attention_pool"](x, *parameters, heads=2),
            "sim": lambda x: ops["sim_pool"](x, keys, values, *kernels),
            "sim 2": lambda x: ops["sim_pool"](x, keys, values, *kernels, gamma=2.0),
            "grid 2": lambda x: ops["adaptive_avg"](x, 2),
            "grid 3": lambda x: ops["adaptive_avg"](x, 3),
        }
        options = {"global_gem": dict(p=3.0), "global_log_sum_exp": dict(r=2.0)}
        return {n: partial(ops[n], **options.get(n, {})) for n in NAMES} | attend

    assert_agree(cases(OURS), cases(ORACLES), image(spatial, 4), rtol=1e-4, atol=1e-5)


def test_the_mean_and_the_maximum_are_the_ends():
    functions = {
        "gem 1": lambda x: heads.global_gem(jnp.abs(x), p=1.0) - heads.global_avg(jnp.abs(x)),
        "gem 300": lambda x: (
            heads.global_gem(jnp.abs(x), p=300.0) / heads.global_max(jnp.abs(x)) - 1
        ),
        "lse small": lambda x: heads.global_log_sum_exp(x, r=1e-3) - heads.global_avg(x),
        "lse large": lambda x: heads.global_log_sum_exp(x, r=1e4) - heads.global_max(x),
        "lse shifts": lambda x: (
            heads.global_log_sum_exp(x + 1000, r=5.0) - 1000 - heads.global_log_sum_exp(x, r=5.0)
        ),
        "attention to a constant": lambda x: (
            heads.sim_pool(x, x, jnp.ones_like(x), jnp.eye(3), jnp.eye(3)) - 1
        ),
    }
    for name, difference in compiled(functions, image((4, 5))).items():
        np.testing.assert_allclose(difference, 0, atol=2e-2 if name == "gem 300" else 2e-3)


def test_the_gradient_of_the_maximum_goes_to_the_first_of_equals():
    x = np.float32([0, 2, 2, 1])[None, :, None]
    y, grad = jax.jit(jax.value_and_grad(lambda x: heads.global_max(x).sum()))(x)
    assert y == 2
    np.testing.assert_array_equal(grad[0, :, 0], [0, 1, 0, 0])


def test_circular_shifts_change_nothing_but_where_positions_are_learned():
    kernels = image((3,), 3, 2, 3)
    parameters = attention_parameters(20, 3)
    functions = {
        name: partial(
            OURS[name],
            **{"global_gem": dict(p=3.0), "global_log_sum_exp": dict(r=2.0)}.get(name, {}),
        )
        for name in NAMES
    } | {
        "sim_pool": lambda x: heads.sim_pool(x, x, x, *kernels, gamma=2.0),
        "attention_pool": lambda x: heads.attention_pool(x, *parameters, heads=1),
    }
    x = image((4, 5))
    shifted = np.roll(x, (1, 3), (1, 2))
    both = compiled(functions, np.concatenate([x, shifted]))
    for name, y in both.items():
        same = np.allclose(y[:2], y[2:], rtol=1e-4, atol=1e-5)
        assert same == (name != "attention_pool"), name


def test_an_example_does_not_depend_on_its_batch():
    kernels = image((3,), 3, 2, 3)
    x = image((4, 5), batch=2) * np.float32([1, 30])[:, None, None, None]
    together, alone = jax.jit(
        lambda x: (
            heads.sim_pool(x, x, x, *kernels, gamma=2.0),
            heads.sim_pool(x[:1], x[:1], x[:1], *kernels, gamma=2.0),
        )
    )(x)
    np.testing.assert_allclose(together[:1], alone, rtol=1e-5)


def test_bfloat16_is_pooled_in_float32():
    # In bfloat16 the sum of 1000 ones ends at 256.
    ones = np.ones((1, 1000, 2), np.float32).astype(jnp.bfloat16)
    for name, y in compiled(
        {
            "global_avg": heads.global_avg,
            "global_gem": partial(heads.global_gem, p=3.0),
            "global_log_sum_exp": partial(heads.global_log_sum_exp, r=10.0),
        },
        ones,
    ).items():
        assert y.dtype == jnp.bfloat16, name
        np.testing.assert_array_equal(np.asarray(y, np.float32), 1, err_msg=name)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: heads.global_gem(x, p=0.0), "gem: p=0.0 is not positive"),
        (lambda x: heads.global_log_sum_exp(x, r=-1.0), "r=-1.0 is not positive"),
        (lambda x: heads.sim_pool(x, x, x, x, x, gamma=0.0), "gamma=0.0 is not positive"),
        (lambda x: heads.attention_pool(x, *attention_parameters(6, 4), heads=3), "do not divide"),
        (lambda x: heads.attention_pool(x, *attention_parameters(5, 4), heads=2), "do not fit"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(UserError, match=message):
        call(image((2, 3), 4))
