"""Operators along time alone and space alone, and the forms of convolution over clips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.layers import DOWNSAMPLERS, ClipConv, ClipSite, Downsample, Style, operator_of
from cnn.layers.clips import FORMS, middle_features
from tests.layers.cases import KEYS, image, quick

ALONE = [name for name, entry in DOWNSAMPLERS.items() if not entry.on_conv]
CLIPS = (2, 6, 4, 6, 3)
# Their parameters, norms or choices are per clip, not per place.
_PER_CLIP = {"aps", "max_aps", "lps", "max_lps", "lip", "ddac", "max_ddac"}
LOCAL = [name for name in ALONE if name not in _PER_CLIP]


@pytest.fixture(scope="module")
def both():
    """Each operator in evaluation along time and along space, and folded into 1-D and 2-D."""
    time, space = (2, 1, 1), (1, 2, 2)

    def one(operator, x):
        layers = [Downsample(operator, strides, Style()) for strides in (time, 2, space, 2)]
        over_time = x.transpose(0, 2, 3, 1, 4).reshape(-1, x.shape[1], x.shape[-1])
        inputs = x, over_time, x, x.reshape(-1, *x.shape[2:])

        def run(layer, like):
            return layer.init_with_output(KEYS, like, False)[0][0]

        t, t1, s, s2 = (run(layer, like) for layer, like in zip(layers, inputs, strict=True))
        t1 = t1.reshape(x.shape[0], *x.shape[2:4], -1, x.shape[-1]).transpose(0, 3, 1, 2, 4)
        return (t, t1), (s, s2.reshape(*x.shape[:2], *s2.shape[1:]))

    x = jax.nn.relu(image(*CLIPS))
    return quick(lambda x: {name: one(name, x) for name in LOCAL})(x)


# Convolutions draw their kernels by shape, and a window of 3 x 1 x 1 is one of 3.
@pytest.mark.parametrize("operator", LOCAL)
def test_an_operator_along_some_axes_is_the_operator_of_so_many_dimensions(both, operator):
    for found, folded in both[operator]:
        assert found.shape == folded.shape
        np.testing.assert_allclose(found, folded, atol=1e-5)


@pytest.mark.parametrize("strides", [(2, 1, 1), (1, 2, 2)])
@pytest.mark.parametrize("operator", DOWNSAMPLERS)
def test_an_operator_leaves_the_other_axes_their_sizes(operator, strides):
    x = jax.ShapeDtypeStruct(CLIPS, jnp.float32)
    time, space = strides[0], strides[1]
    layer = ClipConv(3, Style(), site=ClipSite(operator, operator), strides=(time, space))
    (y, _), _ = jax.eval_shape(lambda x: layer.init_with_output(KEYS, x, True), x)
    for n, m, s in zip(CLIPS[1:4], y.shape[1:4], strides, strict=True):
        if s == 1 or operator_of(operator).keeps_resolution:
            assert m == n
        else:
            assert m == (int(n / 1.4142) if operator == "fractional" else n // 2)


def test_the_phase_of_a_clip_is_one_for_all_its_places():
    x = image(4, 6, 4, 4, 3)
    layer = Downsample("aps", (2, 1, 1), Style(padding="CIRCULAR"))
    y, phase = quick(lambda x: layer.apply({}, x, False))(x)
    assert phase.shape[0] == 4
    energy = np.square(x).sum((2, 3, 4))
    for clip, picked in enumerate(energy[:, 1::2].sum(1) > energy[:, ::2].sum(1)):
        np.testing.assert_allclose(y[clip], x[clip, int(picked) :: 2], rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_a_form_shrinks_and_widens(form):
    layer = ClipConv(8, Style(), form, ClipSite("max", "strided_conv"), (2, 2))
    x = jax.ShapeDtypeStruct((2, 8, 8, 6, 4), jnp.float32)
    (y, phases), _ = jax.eval_shape(lambda x: layer.init_with_output(KEYS, x, True), x)
    assert y.shape == (2, 8 if form == "spatial" else 4, 4, 3, 8)
    assert set(phases) == {"downsample"}


def test_the_factorised_form_has_the_parameters_of_the_full_one():
    # Tran et al., CVPR 2018: 64 to 64 features have 144 between them.
    assert middle_features(64, 64) == 144
    for channels, features in ((64, 128), (3, 16), (1, 1)):
        full = 27 * channels * features
        middle = middle_features(channels, features)
        assert 9 * channels * middle + 3 * middle * features <= full or middle == 1
        assert 9 * channels * (middle + 1) + 3 * (middle + 1) * features > full
