"""Polyphase components: split, stacked, chosen and weighted; what shifts and what does not."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.ops.convolution import conv
from cnn.ops.max_pool import max_pool
from cnn.ops.polyphase import (
    NORMS,
    phase_weights,
    select_phase,
    space_to_depth,
    split_phases,
    take_phase,
)
from tests.ops.cases import assert_agree, image
from tests.ops.oracles import ORACLES

INDEX = np.array([3, 0])
WEIGHTS = np.float32([[0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0]])
CASES = [
    ((7,), 2, "VALID"),
    ((7, 5), 2, "SAME"),
    ((7, 5), 2, "REFLECT"),
    ((6, 9), (2, 3), "CIRCULAR"),
    ((4, 2, 6), 2, "CIRCULAR"),
    ((1, 1), 2, "SAME"),
]


@pytest.mark.parametrize(("spatial", "strides", "padding"), CASES)
def test_agrees_with_the_oracle(spatial, strides, padding):
    def cases(split, depth, select):
        return {
            "split": lambda x: split(x, strides, padding),
            "depth": lambda x: depth(x, strides, padding),
        } | {norm: lambda x, norm=norm: select(x, strides, padding, norm=norm) for norm in NORMS}

    def picked(*args, **options):
        return select_phase(*args, **options)[0]

    ours = cases(split_phases, space_to_depth, picked)
    oracles = cases(*(ORACLES[n] for n in ("split_phases", "space_to_depth", "select_phase")))
    assert_agree(ours, oracles, image(spatial), rtol=0)


def test_another_path_takes_the_component_by_index_or_by_weights():
    def cases(take):
        return {
            "index": lambda x: take(x, INDEX, 2, "SAME"),
            "weights": lambda x: take(x, WEIGHTS, 2, "SAME"),
        }

    assert_agree(cases(take_phase), cases(ORACLES["take_phase"]), image((5, 6)), atol=1e-6)


def test_the_index_a_path_returns_selects_what_it_selected():
    def both(x):
        y, index = select_phase(x, 2, "CIRCULAR")
        return y, take_phase(x, index, 2, "CIRCULAR"), index

    y, again, index = jax.jit(both)(image((6, 6), batch=16))
    np.testing.assert_array_equal(y, again)
    assert len(set(np.asarray(index).tolist())) > 1


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_an_untrained_network_is_invariant_to_every_circular_shift(norm):
    first, second = image((3, 3), 8, 3, 1).transpose(1, 2, 0, 3), image((3, 3), 8, 8, 2)
    second = second.transpose(1, 2, 0, 3)

    def features(x):
        x = max_pool(jax.nn.relu(conv(x, first, 1, "CIRCULAR")), 2, 1, "CIRCULAR")
        shortcut = x
        x, index = select_phase(
            jax.nn.relu(conv(x, second, 1, "CIRCULAR")), 2, "CIRCULAR", norm=norm
        )
        x = x + take_phase(shortcut, index, 2, "CIRCULAR")
        return select_phase(x, 2, "CIRCULAR", norm=norm)[0].mean((1, 2))

    x = image((8, 8), batch=1)[0]
    shifts = itertools.product(range(8), range(8))
    shifted = np.stack([np.roll(x, shift, (0, 1)) for shift in shifts])
    y = np.asarray(jax.jit(features)(shifted))
    np.testing.assert_allclose(y, y[:1].repeat(len(y), 0), rtol=1e-5)


def test_lps_is_invariant_too_where_the_logits_come_from_the_components_alike():
    def features(x):
        phases = split_phases(x, 2, "CIRCULAR")
        logits = jnp.mean(jnp.sin(3 * phases) * phases[..., :1], tuple(range(2, phases.ndim))).T
        return take_phase(x, phase_weights(logits, None), 2, "CIRCULAR").mean(1)

    x = image((12,), batch=1)[0]
    shifted = np.stack([np.roll(x, shift, 0) for shift in range(12)])
    y = np.asarray(jax.jit(features)(shifted))
    np.testing.assert_allclose(y, y[:1].repeat(12, 0), rtol=1e-5)


def test_space_to_depth_before_a_convolution_is_one_larger_strided_convolution():
    def merged(kernel, strides=2):
        # [k, k, (phase, C), F] -> [2k, 2k, C, F]
        k, _, inputs, features = kernel.shape
        kernel = kernel.reshape(k, k, strides, strides, inputs // strides**2, features)
        return kernel.transpose(0, 2, 1, 3, 4, 5).reshape(k * 2, k * 2, -1, features)

    one, three = (image((k, k), channels=5, batch=12).transpose(1, 2, 0, 3) for k in (1, 3))

    def pairs(x):
        spd = space_to_depth(x, 2, "VALID")
        return [
            (conv(spd, kernel, 1, "VALID"), conv(x, merged(kernel), 2, "VALID"))
            for kernel in (one, three)
        ]

    for a, b in jax.jit(pairs)(image((8, 8))):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_gradients_flow_into_the_chosen_component_alone():
    x = image((6,))
    y, grad = jax.jit(
        lambda x: (
            select_phase(x, 2, "CIRCULAR")[1],
            jax.grad(lambda x: select_phase(x, 2, "CIRCULAR")[0].sum())(x),
        )
    )(x)
    expected = np.zeros_like(x)
    for b, index in enumerate(np.asarray(y)):
        expected[b, index::2] = 1
    np.testing.assert_array_equal(grad, expected)


def test_norms_of_bfloat16_are_float32():
    # 300 and 300.5 are the same number in bfloat16.
    x = np.zeros((1, 600, 1), np.float32)
    x[0, ::2] = 1
    x[0, 1::2] = 1
    x[0, 1] = 1.5
    y, index = jax.jit(lambda x: select_phase(x, 2, "CIRCULAR", norm="l1"))(x.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert index.tolist() == [1]


def test_weights_in_evaluation_are_one_hot_and_in_training_random_and_sharp_when_cold():
    logits = image((), channels=4, batch=400)
    even = np.zeros((4000, 2), np.float32)
    even[:, 1] = np.log(3)

    @jax.jit
    def weights(key):
        return (
            phase_weights(logits, None),
            phase_weights(logits, key, 1.0),
            phase_weights(logits, key, jnp.asarray(0.001)),
            phase_weights(even, key, 0.01),
        )

    hard, warm, cold, frequencies = map(np.asarray, weights(jax.random.key(0)))
    np.testing.assert_array_equal(hard, ORACLES["phase_weights"](logits, None))
    np.testing.assert_allclose(warm.sum(1), 1, rtol=1e-5)
    assert warm.max() < 1
    assert np.mean(cold.max(1) > 0.99) > 0.98
    np.testing.assert_allclose(cold.argmax(1), warm.argmax(1))
    # Each component wins as often as the softmax of the logits says.
    assert abs(frequencies[:, 1].mean() - 0.75) < 0.03


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: select_phase(x, 2, "CIRCULAR"), r"strides \(2, 2\) do not divide"),
        (lambda x: take_phase(x, INDEX, 2, "CIRCULAR"), "do not divide"),
        (
            lambda x: select_phase(x, 2, "SAME", norm="l3"),
            "did you mean 'l1'|allowed: l1, l2, linf",
        ),
        (lambda x: take_phase(x, WEIGHTS[:, :2], 2, "SAME"), "same strides"),
        (lambda x: phase_weights(WEIGHTS, None, 0.0), "is not positive"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(call, image((6, 5)))
