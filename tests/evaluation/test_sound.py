"""The lab on sound: milliseconds, shifts in time, and pictures the right way up."""

import json
import re

import jax
import numpy as np
import pytest
from PIL import Image

from cnn.config.errors import UserError
from cnn.data.features import Features
from cnn.data.signals.sound import SoundSignal
from cnn.evaluation.shift.time import move_wave, time_protocols
from cnn.training.loop import train
from configs import base
from tests.conftest import tiny_config
from tests.evaluation.test_suites import request, result, start

SOUND = (
    "data.signal=sound",
    "data.synthetic_shape=800,1",
    "data.sound.rate=8000",
    "data.sound.fft=128",
    "data.sound.hop=80",
    "data.sound.bands=8",
    "train.duration=3 steps",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "sound"
    train(tiny_config(*SOUND), str(workdir))
    return workdir


def test_the_suites_speak_of_time(trained, capsys):
    start(
        request(trained, suite="shift(max_shift=10),receptive_field(images=4),features(images=2)")
    )
    shift = result(trained, "shift")["results"]
    assert shift["time_path"]["shifts"][0] == [-80, 0]
    assert shift["milliseconds_per_step"] == 0.125
    assert 0 <= shift["time_per_clip"]["consistency"] <= 1
    field = result(trained, "receptive_field")["results"]
    assert field["milliseconds"] == [16.0, 10.0]
    assert set(field["axes"]) == {"time and bands"}
    features = result(trained, "features")["results"]
    assert features["axes"].startswith(
        "time to the right, 0 to 100 ms; frequency upwards, 0 to 4000"
    )
    [file] = (trained / "evaluation" / "receptive_field").glob("*/after.png")
    with Image.open(file) as picture:
        assert picture.width > picture.height
    text = (trained / "evaluation" / "eval.html").read_text()
    blocks = [layer for layer in field["axes"]["time and bands"] if "/" not in layer["layer"]]
    size = blocks[-1]["size"]
    assert blocks[-1]["whole"] or f"{size} ({16 + 10 * (size - 1)} ms)" in text
    assert "shift of the wave, in milliseconds" in text


WAVES = (
    "data.signal=sound",
    "data.synthetic_shape=400,1",
    "data.sound.rate=8000",
    "data.sound.features=wave",
    "model.name=m5",
    "model.features=4,6",
    "model.depths=1,1",
    "train.duration=1 steps",
)


def test_the_lab_measures_networks_of_waves(tmp_path, capsys):
    workdir = tmp_path / "waves"
    train(tiny_config(*WAVES), str(workdir))
    suites = "shift(images=3,passes=1,max_shift=2),receptive_field(images=2),features(images=1)"
    start(request(workdir, suite=suites))
    field = result(workdir, "receptive_field")["results"]
    blocks = {layer["layer"]: layer["size"] for layer in field["axes"]["time"]}
    # 80 samples, 4 of them 4 apart, 3 of those 16 apart; then by 4 and 64.
    assert blocks["stem"] == 80
    assert blocks["stem_downsample"] == 80 + 3 * 4
    assert blocks["stage1_block1"] == 92 + 2 * 16 + 3 * 16
    assert blocks["stage2_block1"] == 172 + 2 * 64 + 3 * 64
    times, shares = zip(*field["along_time"]["after"], strict=True)
    assert len(times) == 256
    assert max(shares) == 1.0
    assert times[:2] == (0.0625, 0.3125)
    captions = [p["caption"] for p in result(workdir, "features")["results"]["pictures"]]
    names = ("stem", "stem_downsample", "stage1_block1", "stage2_block1")
    assert captions[1:5] == [f"Maps of {name}" for name in names]
    assert captions[5].startswith("Grad-CAM at stage2_block1, beside each sound: ")
    text = (workdir / "evaluation" / "eval.html").read_text()
    assert "492 (61.5 ms)" in text
    assert "Shares of sounds in percent" in text
    assert "effective receptive field of waves along time" in text
    output = re.sub("<(style|script)>.*?</(style|script)>|<[^>]*>", " ", text, flags=re.S)
    assert not re.findall(r"\b(?:images?|pixels?)\b", output)


def test_what_is_for_images_is_refused_or_left_out(trained, capsys):
    with pytest.raises(UserError, match=r"corruption is defined for image runs, but .* on sound"):
        start(request(trained, suite="corruption"))


def signal(kind):
    sound = base.get_config().data.sound
    sound.update(features=kind, rate=8000, fft=128, hop=80, bands=8, normalize="none")
    example = jax.ShapeDtypeStruct((800, 1), np.int16)
    return SoundSignal(example, (0.0,) * 8, (1.0,) * 8, Features.of(sound))


def test_time_runs_to_the_right_and_frequency_upwards():
    time = np.arange(800) / 8000
    # A low tone, then a high one.
    tone = np.where(time < 0.05, np.sin(2 * np.pi * 200 * time), np.sin(2 * np.pi * 3000 * time))
    (picture,) = signal("log_mel").pictures((9999 * tone).astype(np.int16)[None, :, None])
    assert picture.shape == (8, 11, 1)
    assert picture[:, 2, 0].argmax() >= 6
    assert picture[:, 8, 0].argmax() <= 1


def test_a_wave_is_drawn_as_its_range():
    wave = np.zeros((1, 800, 1), np.int16)
    wave[0, 400:] = 9999
    (picture,) = signal("wave").pictures(wave)
    assert picture[:, 10, 0].nonzero()[0].min() > 20
    assert picture[0, 200, 0] == 255
    maps = np.arange(16.0).reshape(1, 16, 1)
    np.testing.assert_array_equal(signal("wave").upright(maps)[0, 1, :, 0], np.arange(16))


def test_waves_move_by_samples():
    wave = np.arange(1, 7, dtype=np.int16)[None, :, None]
    moved = np.asarray(jax.jit(move_wave)(wave, np.array([2, 0], np.int32)))[0, :, 0]
    np.testing.assert_array_equal(moved, [0, 0, 1, 2, 3, 4])
    with pytest.raises(UserError, match="clips of 100 ms are too short for shifts of 50 ms"):
        time_protocols(800, 8000, 50.0)


def test_figures_are_json(trained):
    assert json.loads((trained / "result.json").read_text())["input_shape"] == [11, 8, 1]
