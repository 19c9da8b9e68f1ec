import json

import jax
import numpy as np
import pytest
from scipy import fft as scipy_fft

from cnn.ops.spectrogram import (
    apply_filters,
    cosines,
    decibels,
    hertz,
    mel,
    mel_filters,
    num_frames,
    spectrogram,
)
from tests.conftest import REPOSITORY

GOLDEN = np.load(REPOSITORY / "tests" / "golden" / "librosa.npz")
RATE = 8000
CASES = ("small", "htk", "range")


@pytest.mark.parametrize("name", CASES)
def test_features_are_those_of_librosa(name):
    case = json.loads(str(GOLDEN[f"{name}/case"]))
    filters = mel_filters(
        RATE, case["fft"], case["bands"], case["low"], case["high"], case["scale"], case["norm"]
    )

    @jax.jit
    def features(wave):
        lengths = case["fft"], case["hop"], case["window_length"]
        power = spectrogram(wave, *lengths, case["window"], 2.0, case["centred"])
        bands = apply_filters(power, filters)
        level = decibels(bands, case["floor"], case["range"])
        return bands, level, apply_filters(level, cosines(case["bands"], 13))

    found = features(GOLDEN["wave"][None, :, None])
    bands, level, cepstrum = (np.asarray(x)[0, ..., 0] for x in found)
    wanted = GOLDEN[f"{name}/mel"]
    np.testing.assert_allclose(bands, wanted, rtol=1e-4, atol=1e-6 * wanted.max())
    np.testing.assert_allclose(level, GOLDEN[f"{name}/log_mel"], atol=2e-2)
    np.testing.assert_allclose(cepstrum, GOLDEN[f"{name}/mfcc"], atol=2e-2)


def test_a_frame_is_the_transform_of_its_samples():
    wave = np.random.default_rng(0).normal(size=(2, 100, 2)).astype(np.float32)
    found = jax.jit(lambda x: spectrogram(x, 16, 10, 16, "boxcar", 1.0, False))(wave)
    assert found.shape == (2, num_frames(100, 16, 10, False), 9, 2)
    wanted = np.abs(np.fft.rfft(wave[1, 30:46, 1].astype(np.float64)))
    np.testing.assert_allclose(found[1, 3, :, 1], wanted, atol=1e-5)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_the_mel_scale_has_an_inverse(scale):
    frequencies = np.linspace(0, 8000, 50)
    np.testing.assert_allclose(hertz(mel(frequencies, scale), scale), frequencies, atol=1e-8)
    assert mel(1000.0, "slaney") == 15.0
    np.testing.assert_allclose(mel(1000.0, "htk"), 999.9856, atol=1e-4)


def test_filters_of_area_one_and_peak_one():
    wide = mel_filters(RATE, 2**16, 10, 0.0, 4000.0, "slaney", "area")
    np.testing.assert_allclose(wide.sum(0) * RATE / 2**16, 1.0, rtol=1e-3)
    peaks = mel_filters(RATE, 2**16, 10, 0.0, 4000.0, "slaney", "peak").max(0)
    np.testing.assert_allclose(peaks, 1.0, atol=1e-3)


def test_cosines_are_the_orthonormal_dct():
    x = np.random.default_rng(0).normal(size=20)
    np.testing.assert_allclose(x @ cosines(20, 20), scipy_fft.dct(x, norm="ortho"), atol=1e-12)


def test_silence_is_the_floor():
    silent = jax.jit(lambda x: decibels(x, 1e-10, 80.0))(np.zeros((1, 3, 4, 1), np.float32))
    np.testing.assert_allclose(silent, -100.0, rtol=1e-6)
