"""Equivariance errors: zero where a shift must pass, and a float64 reference elsewhere."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from cnn.evaluation.equivariance.errors import equivariance_errors, strides_of
from cnn.evaluation.feature_maps import feature_maps
from tests.evaluation.models import function_under_test, random_split

SIZE = 8


class Network(nn.Module):
    """A block of each kind; the pooling's second output is no map of its own."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.relu(nn.Conv(5, (3, 3), padding="CIRCULAR", name="circular")(x))
        x = nn.Conv(6, (3, 3), strides=2, padding="CIRCULAR", name="strided")(x)
        x = nn.Conv(6, (3, 3), padding="SAME", name="zero_padded")(x)
        nn.Conv(2, (3, 3), padding="VALID", name="unpadded")(x)
        return nn.Dense(4, name="head")(x.mean((1, 2)))


@pytest.fixture(scope="module")
def measured():
    network, split = Network(), random_split(7, SIZE)
    variables = jax.jit(lambda: network.init(jax.random.key(0), np.zeros((1, 8, 8, 3)), False))()
    own = function_under_test(None, split, 4, variables)
    maps = feature_maps(network)
    strides, left_out = strides_of(own, maps)
    *_, (count, layers) = equivariance_errors(own, maps, strides)
    assert count == 7
    return strides, left_out, {name: dict(layer["error"]) for name, layer in layers.items()}


def test_layers_are_found_with_their_strides(measured):
    strides, left_out, _ = measured
    assert strides == {"circular": 1, "strided": 2, "zero_padded": 2, "unpadded": 4}
    assert left_out == []


def test_a_circular_convolution_moves_with_its_input(measured):
    # 1e-5 is some hundred roundings of float32, of two transforms.
    assert measured[2]["circular"][1] < 1e-5
    assert measured[2]["strided"][2] < 1e-5


def test_strides_and_borders_do_not(measured):
    assert measured[2]["strided"][1] > 0.05
    assert measured[2]["zero_padded"][2] > 0.05


def test_agrees_with_float64():
    split = random_split(5, SIZE)
    own = function_under_test(None, split, 2)
    maps = lambda variables, x: {"every second": x[:, ::2, ::2]}  # noqa: E731
    *_, (_, layers) = equivariance_errors(own, maps, {"every second": 2})
    images = split.read(np.arange(5))[0] / 255
    still = images[:, ::2, ::2]
    for d, error in layers["every second"]["error"]:
        moved = np.roll(images, (d, d), (1, 2))[:, ::2, ::2]
        expected = still
        for axis in (1, 2):
            phase = np.exp(-2j * np.pi * np.fft.fftfreq(4) * d / 2)
            phase[2] = np.cos(np.pi * d / 2)
            shape = [1, 1, 1, 1]
            shape[axis] = 4
            bins = np.fft.fft(expected, axis=axis) * phase.reshape(shape)
            expected = np.fft.ifft(bins, axis=axis).real
        ratios = [
            np.linalg.norm(m - e) / np.linalg.norm(s)
            for m, e, s in zip(moved, expected, still, strict=True)
        ]
        assert error == pytest.approx(np.mean(ratios), rel=1e-4, abs=1e-6)


def test_maps_of_zeros_have_no_error():
    own = function_under_test(None, random_split(3, SIZE), 4)
    maps = lambda variables, x: {"dead": 0 * x}  # noqa: E731
    *_, (_, layers) = equivariance_errors(own, maps, {"dead": 1})
    assert layers["dead"]["error"] == [(1, None)]


def test_maps_that_do_not_divide_the_image_are_left_out():
    own = function_under_test(None, random_split(3, SIZE), 4)
    maps = lambda variables, x: {"cut": x[:, 1:-1, 1:-1], "whole": x}  # noqa: E731
    assert strides_of(own, maps) == ({"whole": 1}, ["cut"])


def test_a_border_on_the_way_is_noticed():
    own = function_under_test(None, random_split(3, 12), 4)
    maps = lambda variables, x: {"3": x[:, ::4, ::4], "2": x[:, :2, :2], "6": x[:, ::2, ::2]}  # noqa: E731
    # 2 divides 12 and 6, but not the 3 it comes from.
    assert strides_of(own, maps) == ({"3": 4, "6": 2}, ["2"])
