import json

import jax
import numpy as np
import pytest
import scipy.fft
import scipy.signal
import soundfile
import tensorflow_datasets as tfds

from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.data.features import Features, check_features
from cnn.data.signals.sound import SoundSignal
from cnn.data.sound_augmentation import add_noise, mask, shift_in_time
from cnn.ops.spectrogram import mel_filters

RATE = 8000
KEY = jax.random.key(0)


def write(path, samples, rate=RATE, channels=1, level=0.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(samples)[:, None] / rate
    wave = level * np.sin(2 * np.pi * 440 * time) * np.linspace(1, 0.5, channels)
    soundfile.write(path, wave, rate)
    return wave


@pytest.fixture
def sounds(data, tmp_path):
    """Eight sounds in two classes; the config that reads them as clips of 0.1 s."""
    data.signal, data.source, data.path = "sound", "folder", str(tmp_path)
    data.train_split, data.test_split = r". ~ _[1-9]\.", r". ~ _0\."
    data.sound.update(rate=RATE, seconds=0.1, fft=128, hop=80, bands=8)
    for i in range(8):
        write(tmp_path / "ab"[i % 2] / f"x_{i // 2}.wav", 800)
    return data


def test_files_are_chosen_by_name_and_decoded_exactly(sounds, tmp_path, monkeypatch):
    monkeypatch.setattr("cnn.data.waves._BLOCK", 400)  # so that reading takes several
    dataset = open_dataset(sounds)
    assert (len(dataset.train), len(dataset.test)) == (6, 2)
    assert (dataset.train.shape, dataset.input_shape) == ((800, 1), (11, 8, 1))
    wave = np.random.default_rng(0).integers(-32768, 32768, 800).astype(np.int16)
    for name in ("x_0.wav", "x_0.flac"):
        for path in (tmp_path / "b").glob("x_0.*"):
            path.unlink()
        soundfile.write(tmp_path / "b" / name, wave, RATE)
        test = open_dataset(sounds).test
        clips, labels = test.read(np.arange(2))
        np.testing.assert_array_equal(clips[labels == 1][0, :, 0], wave)
    sounds.test_split = ".[:1] ~ _0"
    assert len(open_dataset(sounds).test) == 1


def test_lengths_channels_and_rates_become_one(sounds, tmp_path):
    write(tmp_path / "a" / "x_1.wav", 300)
    write(tmp_path / "a" / "x_2.wav", 2000, channels=2)
    tone = write(tmp_path / "b" / "x_1.wav", 1600, rate=2 * RATE)
    train = open_dataset(sounds).train
    clips = dict(zip(train._split.names, train._split.read(np.arange(8))[0], strict=True))
    short, stereo, fast = (
        clips[name][:, 0] / 32768 for name in ("a/x_1.wav", "a/x_2.wav", "b/x_1.wav")
    )
    assert not short[300:].any()
    time = np.arange(600, 1400) / RATE
    np.testing.assert_allclose(stereo, 0.375 * np.sin(2 * np.pi * 440 * time), atol=1e-4)
    # Far from the ends, where the resampler's filter sees silence.
    np.testing.assert_allclose(fast[200:600], tone[400:1200:2, 0], atol=2e-3)


@pytest.mark.parametrize(
    ("change", "broken", "words"),
    [
        ({}, b"RIFF but no more", r"a/bad\.wav: not a readable WAV or FLAC file \(1 of 9"),
        ({"other_rates": "refuse"}, (800, 2 * RATE), r"a/bad\.wav: has 16000 samples per second"),
        ({"short": "refuse"}, (400, RATE), r"a/bad\.wav: lasts 0\.05 s and data\.sound\.seconds"),
        ({}, (0, RATE), r"a/bad\.wav: holds no samples"),
    ],
)
def test_bad_sounds_are_named(sounds, tmp_path, change, broken, words):
    sounds.sound.update(change)
    if isinstance(broken, bytes):
        (tmp_path / "a" / "bad.wav").write_bytes(broken)
    else:
        write(tmp_path / "a" / "bad.wav", *broken)
    with pytest.raises(UserError, match=words):
        open_dataset(sounds)


def damaged_flac(path):
    wave = np.random.default_rng(0).normal(0, 0.1, 40 * RATE)
    soundfile.write(path, wave, RATE, format="FLAC")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 500] = bytes(500)
    path.write_bytes(content)


def endless_flac(path):
    """A FLAC file whose header announces 240 GiB: one wrong byte in the number of samples."""
    soundfile.write(path, np.zeros(800), RATE, format="FLAC")
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F
    path.write_bytes(content)


def half_copied(path):
    write(path, 800, RATE)
    path.write_bytes(path.read_bytes()[:-600])


def on_another_scale(path):
    soundfile.write(path, np.sin(np.arange(800)) * 30000, RATE, subtype="FLOAT")


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("x.flac", damaged_flac, "(not a readable WAV or FLAC|truncated or damaged)"),
        ("x.flac", endless_flac, "(not a readable WAV or FLAC|truncated or damaged)"),
        ("x.wav", half_copied, "truncated or damaged"),
        ("x.wav", on_another_scale, "samples up to 29999.*divide them by 32768"),
    ],
)
def test_spoilt_sounds_are_refused_or_skipped(sounds, tmp_path, name, spoil, words):
    spoil(tmp_path / "a" / name)
    with pytest.raises(UserError, match=rf"a/{name}: .*{words}"):
        open_dataset(sounds)
    sounds.broken_files = "skip"
    dataset = open_dataset(sounds, splits=("train",))
    assert dataset.skipped["count"] == 1
    dataset.train.read(np.arange(len(dataset.train)))


def test_a_stream_of_unknown_length_is_whole(sounds, tmp_path):
    path = tmp_path / "a" / "x_9.wav"
    write(path, 800, RATE)
    content = path.read_bytes()
    at = content.index(b"data") + 4
    known = open_dataset(sounds, splits=("train",)).train
    path.write_bytes(content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :])
    unknown = open_dataset(sounds, splits=("train",)).train
    assert unknown.names == known.names
    place = np.array([known.names.index("a/x_9.wav")])
    samples, labels = known.read(place)
    assert len(np.unique(samples)) > 100
    np.testing.assert_array_equal(unknown.read(place)[0], samples)
    np.testing.assert_array_equal(unknown.read(place)[1], labels)


def test_what_is_cut_from_long_recordings_is_reported(sounds, tmp_path):
    assert open_dataset(sounds, splits=("train",)).remarks == ()
    write(tmp_path / "a" / "long.wav", 20 * RATE, RATE)
    (remark,) = open_dataset(sounds, splits=("train",)).remarks
    assert remark.startswith("1 of 9 sounds are longer than data.sound.seconds=0.1 (the longest 20")


def test_a_class_without_sounds_and_a_bad_pattern(sounds, tmp_path):
    (tmp_path / "c").mkdir()
    with pytest.raises(UserError, match=r"/c: contains no sounds"):
        open_dataset(sounds)
    sounds.train_split = ". ~ ("
    with pytest.raises(UserError, match=r"data\.train_split: '\(' is not a regular expression"):
        open_dataset(sounds)


@pytest.mark.parametrize("normalize", ["train", "clip", "none"])
def test_silence_stays_finite_and_train_is_normalised(sounds, tmp_path, normalize):
    sounds.sound.normalize = normalize
    for i in range(1, 4):
        soundfile.write(tmp_path / "a" / f"x_{i}.wav", np.zeros(800), RATE)
    dataset = open_dataset(sounds)
    inputs = np.asarray(jax.jit(dataset.signal.prepare)(dataset.train.read(np.arange(6))[0]))
    assert np.isfinite(inputs).all()
    if normalize == "train":
        np.testing.assert_allclose(inputs.mean((0, 1, 3)), 0.0, atol=1e-3)
        np.testing.assert_allclose(inputs.std((0, 1, 3)), 1.0, atol=1e-3)


@pytest.mark.parametrize(("features", "shape"), [("wave", (800, 1)), ("mfcc", (11, 5, 1))])
def test_other_features(sounds, features, shape):
    sounds.sound.update(features=features, coefficients=5)
    dataset = open_dataset(sounds)
    assert dataset.input_shape == shape
    assert len(dataset.mean) == (1 if features == "wave" else 5)


def test_mfcc_of_tensorflows_front_end(sounds):
    """Of MLPerf Tiny's keyword spotting: magnitudes, ln(x + 1e-6), DCT-II over sqrt(2 N).

    TensorFlow does not scale its first coefficient down as the orthonormal transform does, so that
    one is sqrt(2) times ours.
    """
    changed = dict(features="mfcc", exponent=1, level="log", floor=1e-6, coefficients=5)
    sounds.sound.update(changed, normalize="none", centred=False, scale="htk", filter_norm="peak")
    sound = sounds.sound
    wave = np.float32(np.random.default_rng(0).normal(size=(1, 800, 1)) * 0.1)
    found = np.asarray(jax.jit(Features.of(sound))(wave))[0, ..., 0]
    length = sound.window_length or sound.fft
    window = scipy.signal.get_window("hann", length)
    starts = range(0, 800 - sound.fft + 1, sound.hop)
    frames = np.stack([wave[0, i : i + length, 0] * window for i in starts]).astype(np.float64)
    magnitudes = np.abs(np.fft.rfft(frames, sound.fft))
    filters = (sound.rate, sound.fft, sound.bands, sound.low, sound.high or sound.rate / 2)
    bands = magnitudes @ mel_filters(*filters, "htk", "peak")
    wanted = scipy.fft.dct(np.log(bands + 1e-6), type=2) / np.sqrt(2 * sound.bands)
    np.testing.assert_allclose(found[:, 1:], wanted[:, 1:5], atol=1e-4)
    np.testing.assert_allclose(found[:, 0] * np.sqrt(2), wanted[:, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"window_length": 129}, "window_length"),
        ({"fft": 2048, "centred": False}, "fft"),
        ({"high": 5000.0}, "high"),
        ({"features": "mfcc", "coefficients": 9}, "coefficients"),
        ({"level": "log", "dynamic_range": 60.0}, "dynamic_range"),
    ],
)
def test_impossible_features_are_refused(sounds, change, field):
    sounds.sound.update(change)
    with pytest.raises(UserError, match=rf"data\.sound\.{field}: "):
        check_features(sounds.sound, 800)


def test_shift_moves_and_fills_with_zeros():
    wave = np.arange(1, 11, dtype=np.float32)[None, :, None].repeat(64, 0)
    shifted = np.asarray(jax.jit(lambda x: shift_in_time(KEY, x, 3))(wave))[..., 0]
    moves = set()
    for row in shifted:
        (kept,) = np.nonzero(row)
        move = kept[0] - int(row[kept[0]]) + 1
        moves.add(move)
        wanted = np.zeros(10)
        inside = np.arange(max(0, move), min(10, 10 + move))
        wanted[inside] = inside - move + 1
        np.testing.assert_array_equal(row, wanted)
    assert moves == set(range(-3, 4))


@pytest.mark.parametrize("noise", ["white", "pink", "given"])
def test_noise_has_the_power_that_was_asked_for(noise):
    wave = np.random.default_rng(0).normal(size=(4, 4000, 1)).astype(np.float32)
    wave[3] = 0.0
    given = np.random.default_rng(1).normal(3, 1, (9000, 1)).astype(np.float32)
    own = given if noise == "given" else noise
    noisy = np.asarray(jax.jit(lambda x: add_noise(KEY, x, own, (10.0, 10.0)))(wave))
    added = (noisy - wave)[..., 0]
    np.testing.assert_allclose(
        (added[:3] ** 2).mean(1), 0.1 * (wave[:3, :, 0] ** 2).mean(1), rtol=1e-3
    )
    assert not added[3].any()
    power = np.abs(np.fft.rfft(added[:3])) ** 2
    low, high = power[:, 20:200].mean(), power[:, 1000:1180].mean()
    if noise != "given":
        assert (low > 5 * high) == (noise == "pink")


def test_masks_cover_what_they_say():
    features = np.ones((256, 12, 7, 1), np.float32)
    masked = np.asarray(jax.jit(lambda x: mask(KEY, x, 1, 1, 4))(features))
    hidden = (masked == 0).all((2, 3))
    np.testing.assert_array_equal(hidden, (masked == 0).any((2, 3)))
    assert set(hidden.sum(1)) == {0, 1, 2, 3, 4}
    edges = np.diff(hidden.astype(int), axis=1, prepend=0, append=0)
    assert ((edges == 1).sum(1) <= 1).all()
    assert hidden.any(0).all()


@pytest.fixture
def signal(sounds):
    return open_dataset(sounds).signal


def test_augmentation_off_is_evaluation(signal: SoundSignal, augment):
    stored = np.random.default_rng(0).integers(-9999, 9999, (4, 800, 1)).astype(np.int16)
    apply = signal.make_augment(augment, 3, cropped=False)
    inputs, targets = jax.jit(apply)(KEY, stored, np.array([0, 1, 2, 0]))
    np.testing.assert_allclose(inputs, jax.jit(signal.prepare)(stored), atol=1e-5)
    np.testing.assert_array_equal(targets, np.eye(3)[[0, 1, 2, 0]])
    augment.update(time_shift=0.01, noise_snr=(5.0, 9.0), time_masks=(1, 3), mixup=0.2)
    signal.check(augment)
    moved, mixed = jax.jit(signal.make_augment(augment, 3, cropped=False))(
        KEY, stored, np.array([0, 1, 2, 0])
    )
    assert np.abs(moved - inputs).max() > 0.1
    np.testing.assert_allclose(mixed.sum(1), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("time_shift", 0.1, "is too long for clips"),
        ("noise_snr", (9.0, 5.0), "is not a range in dB"),
        ("noise", "pink", "has no effect without augment.noise_snr"),
        ("time_masks", (1, 12), "from 1 to 11"),
        ("band_masks", (0, 2), "from 1 to 8"),
    ],
)
def test_impossible_augmentation_is_refused(signal, augment, field, value, words):
    augment[field] = value
    with pytest.raises(UserError, match=rf"augment\.{field}: .*{words}"):
        signal.check(augment)


def test_noise_from_a_folder(signal, augment, tmp_path):
    augment.noise_snr = (0.0, 0.0)
    augment.noise = str(tmp_path / "a")
    assert signal.make_augment(augment, 2, cropped=False)
    augment.noise = str(tmp_path / "none")
    with pytest.raises(UserError, match=r"augment\.noise: .*none' is not white"):
        signal.make_augment(augment, 2, cropped=False)


def test_tfds_audio(data, tmp_path):
    write_tfds(tmp_path)
    data.signal, data.name, data.data_dir = "sound", "tones", str(tmp_path)
    data.sound.update(rate=RATE, seconds=0.1, fft=128, hop=80, bands=8)
    dataset = open_dataset(data)
    clips, labels = dataset.train.read(np.arange(2))
    assert sorted(labels) == [0, 1]
    np.testing.assert_array_equal(clips[1, :, 0], (np.arange(900) - 450)[50:850])
    assert dataset.input_shape == (11, 8, 1)
    data.sound.update(rate=2 * RATE, other_rates="refuse")
    with pytest.raises(UserError, match=r"data\.sound\.rate: 16000, but sounds in .* have 8000"):
        open_dataset(data)


def write_tfds(folder):
    """Prepares two sounds of 16-bit samples; their feature is renamed, as tfds needs TensorFlow to
    write an `Audio`.
    """
    with tfds.core.registered.skip_registration():

        class Tones(tfds.core.GeneratorBasedBuilder):
            """Two ramps."""

            name = "tones"
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                features = {
                    "audio": tfds.features.Tensor(shape=(900,), dtype=np.int64),
                    "label": tfds.features.ClassLabel(num_classes=2),
                }
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features)
                )

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples() for split in ("train", "test")}

            def _generate_examples(self):
                for label in range(2):
                    yield label, {"audio": np.arange(900) - 450, "label": label}

        builder = Tones(data_dir=folder, file_format="array_record")
    tfds.disable_progress_bar()
    builder.download_and_prepare()
    file = folder / "tones" / "1.0.0" / "features.json"
    stored = json.loads(file.read_text())
    stored["featuresDict"]["features"]["audio"] = {
        "pythonClassName": "tensorflow_datasets.core.features.audio_feature.Audio",
        "audio": {
            "shape": {"dimensions": ["-1"]},
            "dtype": "int64",
            "sampleRate": str(RATE),
            "encoding": "none",
        },
    }
    file.write_text(json.dumps(stored))
