"""Padding: every mode against its own definition, and what is refused."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.ops.padding import FilledPads, make_pool, make_window, per_axis
from tests.ops.cases import image

SIZES = list(itertools.product(range(1, 10), range(1, 6), range(1, 5)))


def pads_of(n: int, k: int, s: int, padding) -> tuple[int, int]:
    return make_window(np.zeros((1, n, 1)), k, s, padding).pads[0]


def test_same_is_what_xla_calls_same():
    for n, k, s in SIZES:
        (expected,) = jax.lax.padtype_to_pads((n,), (k,), (s,), "SAME")
        assert pads_of(n, k, s, "SAME") == expected, (n, k, s)


def test_torch_is_half_the_window_on_both_sides_whatever_the_stride():
    for n, k, s in SIZES:
        if k <= n:
            assert pads_of(n, k, s, "torch") == (((k - 1) // 2),) * 2, (n, k, s)
    # With window 3, strides 2 and an even size SAME starts one element later.
    assert (pads_of(8, 3, 2, "SAME"), pads_of(8, 3, 2, "torch")) == ((0, 1), (1, 1))


def test_valid_pads_nothing_and_pairs_as_they_say():
    assert pads_of(8, 3, 2, "VALID") == (0, 0)
    assert pads_of(8, 3, 2, ((2, 1),)) == (2, 1)
    assert pads_of(8, 3, 2, FilledPads(((2, 1),), "wrap")) == (2, 1)


@pytest.mark.parametrize(
    ("padding", "mode", "widths"),
    [
        ("CIRCULAR", "wrap", ((0, 0), (1, 1), (1, 2), (0, 0))),
        ("REFLECT", "reflect", ((0, 0), (1, 1), (1, 2), (0, 0))),
        (FilledPads(((2, 0), (0, 3)), "reflect"), "reflect", ((0, 0), (2, 0), (0, 3), (0, 0))),
        (((2, 0), (0, 3)), "constant", ((0, 0), (2, 0), (0, 3), (0, 0))),
    ],
)
def test_the_padding_holds_what_the_mode_says(padding, mode, widths):
    x = image((5, 4))
    padded = jax.jit(make_window(x, (3, 4), 1, padding).padded)(x)
    np.testing.assert_array_equal(padded, np.pad(x, widths, mode=mode))


def test_a_constant_fills_in_only_where_the_mode_has_no_values():
    x = image((4,), batch=1, channels=1)

    def padded(padding):
        return make_window(x, 3, 1, padding).padded(jnp.asarray(x), -jnp.inf)

    zeros, circle = jax.jit(lambda: (padded("SAME"), padded("CIRCULAR")))()
    assert np.isneginf(zeros[0, [0, -1], 0]).all()
    assert np.isfinite(circle).all()


def test_one_number_serves_all_axes():
    assert per_axis(3, 2, "window") == (3, 3)
    assert per_axis([3, 1], 2, "window") == (3, 1)


@pytest.mark.parametrize(
    ("window", "strides", "padding", "message"),
    [
        (7, 1, "VALID", "window: .* is larger than the input"),
        ((2, 6), 1, "VALID", "use a smaller window"),
        (2, 1, "SMAE", "did you mean 'SAME'"),
        (0, 1, "SAME", "window: 0 does not fit 2 spatial axes"),
        (2, 0, "SAME", "strides: 0 does not fit"),
        ((2, 2, 2), 1, "SAME", "window: .* does not fit 2 spatial axes"),
        (2, 1, ((0, 0),), "padding: .* does not fit 2 spatial axes"),
        (2, 1, ((0, 0), (-1, 0)), "non-negative"),
        (12, 1, "CIRCULAR", "needs an input larger"),
        (10, 1, "REFLECT", "needs an input larger"),
    ],
)
def test_bad_input_is_refused(window, strides, padding, message):
    with pytest.raises(UserError, match=message):
        make_window(image((6, 5)), window, strides, padding)


def test_a_pool_refuses_windows_that_hold_nothing_of_the_input():
    x = image((6, 5))
    with pytest.raises(UserError, match="contain only padding"):
        make_pool(x, 2, 2, ((2, 0), (0, 0)))
    assert make_pool(x, 2, 2, FilledPads(((2, 0), (0, 0)), "wrap")).pads == ((2, 0), (0, 0))
