"""Sound: int16 `[T, C]`, as a wave, a log-mel spectrogram or its cepstrum."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.augmentation import Augment
from cnn.data.features import Features, check_features
from cnn.data.files import shown
from cnn.data.mixing import mix
from cnn.data.signals.signal import SIGNALS, Codec, FileInfo, Signal, SignalKind, StoredShape
from cnn.data.sound_augmentation import (
    add_noise,
    check_sound_augment,
    make_noise,
    mask,
    shift_in_time,
)
from cnn.data.split import SOUNDS, Split
from cnn.data.waves import WaveForm, look_at_wave

_SUFFIXES = (".wav", ".flac")
_WAVE_HEIGHT = 48  # pixels of a drawn wave
_MEASURED = 10_000  # clips that the statistics are measured on, at most
_CHUNK = 128  # of them in memory at once


@dataclass(frozen=True)
class SoundCodec(Codec):
    """WAV and FLAC files; TFDS' `Audio`. Stored shapes are (samples, channels, rate)."""

    data: ConfigDict
    feature = "Audio"

    def look_at(self, path: Path, thorough: bool) -> FileInfo:
        """Always decodes the whole file: most damage is not visible in the header."""
        if path.suffix.lower() not in _SUFFIXES:
            raise UserError(f"{shown(path)}: the name does not end in {', '.join(_SUFFIXES)}")
        return self.look_at_content(path.read_bytes(), shown(path), thorough)

    def look_at_content(self, content: bytes, where: str, thorough: bool) -> FileInfo:
        """See `look_at`."""
        return FileInfo(look_at_wave(content, where))

    def refused(self, shape: StoredShape) -> str:
        """Returns why the data section does not take such a sound, or ""."""
        samples, channels, rate = shape
        sound = self.data.sound
        if not samples:
            return "holds no samples"
        if channels not in SOUNDS.channels and sound.channels != 1:
            return f"has {channels} channels; set data.sound.channels=1 to mix them"
        if sound.other_rates == "refuse" and rate != sound.rate:
            return (
                f"has {rate} samples per second and data.sound.rate is {sound.rate}; set "
                "data.sound.other_rates=resample"
            )
        seconds = samples / rate
        if sound.short == "refuse" and seconds < sound.seconds:
            return (
                f"lasts {seconds:.3g} s and data.sound.seconds is {sound.seconds:g}; set "
                "data.sound.short=pad"
            )
        return ""

    def remarks(self, shapes: Sequence[StoredShape]) -> tuple[str, ...]:
        """Says how many sounds are longer than a clip."""
        sound = self.data.sound
        lengths = [samples / rate for samples, _, rate in shapes]
        longer = [seconds for seconds in lengths if seconds > sound.seconds]
        if not longer:
            return ()
        return (
            f"{len(longer):,} of {len(lengths):,} sounds are longer than data.sound.seconds="
            f"{sound.seconds:g} (the longest {max(longer):.3g} s): only the {sound.long} of each "
            "is used",
        )

    def stored_shape(self, feature: Any) -> StoredShape:
        """Returns (samples, channels, rate) of an `Audio` feature that is stored as numbers."""
        shape = tuple(feature.shape)
        return shape[0], shape[1] if len(shape) > 1 else 1, feature.sample_rate

    def from_record(self, feature: Any) -> np.ndarray | bytes:
        """Takes the samples, or the file that holds them, out of a `tf.train.Example`."""
        if feature.bytes_list.value:
            return feature.bytes_list.value[0]
        if feature.float_list.value:
            return np.array(feature.float_list.value, np.float32)
        return np.array(feature.int64_list.value, np.int64)

    def form(self, stored: StoredShape, where: str) -> WaveForm:
        """Returns the clips that the config asks for; raises `UserError` if they cannot be."""
        sound = self.data.sound
        channels = sound.channels or stored[1]
        if channels not in SOUNDS.channels:
            raise UserError(
                f"data.sound.channels: sounds in {where} have {stored[1] or 'differing numbers of'}"
                " channels; set it to 1 to mix them down"
            )
        if sound.other_rates == "refuse" and stored[2] not in (None, sound.rate):
            raise UserError(
                f"data.sound.rate: {sound.rate}, but sounds in {where} have {stored[2]} samples a "
                "second; set it to that rate, or data.sound.other_rates=resample"
            )
        samples = round(sound.seconds * sound.rate)
        return WaveForm(sound.rate, samples, channels, sound.short, sound.long, stored[1:])


@dataclass(frozen=True)
class SoundSignal(Signal):
    """Waves or spectrograms `[B, frames, bands, C]`; mean and std are per band, or one for a wave.

    Attributes:
      features: computed from a wave.
    """

    axis_names: ClassVar = {"height": "time", "width": "bands"}
    timed: ClassVar = True

    features: Features

    def prepare(self, stored: Array) -> Array:
        """Returns the normalised features of int16 `[B, T, C]`."""
        return self._normalized(self.features(scaled(stored)))

    def make_augment(self, augment: ConfigDict, num_classes: int, *, cropped: bool) -> Augment:
        """Builds shift and noise of the wave, masks of the features and mixup, in this order."""
        noise = make_noise(augment, self.example.shape, self.features.rate)

        def apply(key: Array, stored: Array, labels: Array) -> tuple[Array, Array]:
            shift_key, noise_key, mask_key, mix_key = jax.random.split(key, 4)
            wave = scaled(stored)
            if augment.time_shift:
                wave = shift_in_time(
                    shift_key, wave, round(augment.time_shift * self.features.rate)
                )
            if noise is not None:
                wave = add_noise(noise_key, wave, noise, tuple(augment.noise_snr))
            inputs = self._normalized(self.features(wave))
            for axis, masks in enumerate((augment.time_masks, augment.band_masks), 1):
                if masks:
                    inputs = mask(jax.random.fold_in(mask_key, axis), inputs, axis, *masks)
            targets = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
            if augment.mixup:
                inputs, targets = mix(mix_key, inputs, targets, augment.mixup, 0.0)
            return inputs, targets

        return apply

    def check(self, augment: ConfigDict) -> None:
        """Raises `UserError` unless the augment section fits clips and features like these."""
        seconds = self.example.shape[0] / self.features.rate
        check_sound_augment(augment, seconds, self.shape, self.features.kind)

    @property
    def milliseconds(self) -> tuple[float, float]:
        """Of the features."""
        return self.features.extent

    @property
    def drawn_axes(self) -> str:
        """Time, and what the bands are."""
        features = self.features
        seconds = self.example.shape[0] / features.rate
        words = f"time to the right, 0 to {1000 * seconds:.0f} ms"
        if features.kind == "log_mel":
            words += f"; frequency upwards, {features.low:.0f} to {features.high:.0f} Hz ("
            words += f"{features.mels} mel bands)"
        if features.kind == "mfcc":
            words += f"; cosines upwards, 0 to {features.coefficients - 1}"
        return words

    def pictures(self, stored: np.ndarray) -> np.ndarray:
        """Returns waves as drawn lines, spectrograms with time to the right and bands upwards."""
        inputs = np.asarray(jax.jit(self.prepare)(stored))[..., :1]
        if inputs.ndim == 3:
            return np.stack([_drawn_wave(one[:, 0]) for one in inputs])
        low = inputs.min((1, 2, 3), keepdims=True)
        span = np.maximum(inputs.max((1, 2, 3), keepdims=True) - low, 1e-12)
        return self.upright(255.0 * (inputs - low) / span)

    def upright(self, maps: np.ndarray) -> np.ndarray:
        """`[B, frames, bands, ...]` -> `[B, bands, frames, ...]`, the lowest band at the bottom."""
        if len(self.shape) == 2:
            # A waveform has one axis: repeat it to a strip.
            height = max(1, maps.shape[1] // 8)
            return np.repeat(maps[:, None], height, axis=1)
        return np.swapaxes(maps, 1, 2)[:, ::-1]

    def _normalized(self, features: Array) -> Array:
        if self.features.normalize == "clip":
            axes = tuple(range(1, features.ndim))
            mean = features.mean(axes, keepdims=True)
            deviation = features.std(axes, keepdims=True)
            # Silence has zero deviation and becomes zero.
            return (features - mean) / jnp.maximum(deviation, 1e-5)
        if self.features.normalize == "none":
            return features
        mean, std = (jnp.asarray(v, jnp.float32)[:, None] for v in (self.mean, self.std))
        return (features - mean) / std


def _drawn_wave(wave: np.ndarray, width: int = 256) -> np.ndarray:
    """Draws the range of each part of a wave `[T]` as a column, `[h, width, 1]`, white on black."""
    width = min(width, len(wave))
    parts = np.array_split(wave / max(np.abs(wave).max(), 1e-12), width)
    rows = np.linspace(1, -1, _WAVE_HEIGHT)[:, None]
    slack = 1 / (_WAVE_HEIGHT - 2)  # at least one pixel per column
    low = np.array([part.min() for part in parts]) - slack
    high = np.array([part.max() for part in parts]) + slack
    return 255.0 * ((rows >= low) & (rows <= high))[..., None]


def scaled(stored: Array) -> Array:
    """Returns int16 samples as float32 in [-1, 1)."""
    return stored.astype(jnp.float32) * (1.0 / 32768.0)


def band_statistics(data: ConfigDict, split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of the features, per band, or one for waves.

    Over all clips, or 10,000 evenly spaced ones when there are more. A band without any variation
    gets standard deviation 1.

    Raises:
      UserError: the features cannot be computed from such clips.
    """
    check_features(data.sound, split.shape[0])
    features = Features.of(data.sound)
    bands = features.bands
    if features.normalize != "train":
        return (0.0,) * bands, (1.0,) * bands

    @jax.jit
    def moments(stored: Array) -> tuple[Array, Array]:
        values = features(scaled(stored))
        values = jnp.moveaxis(values.reshape(len(stored), -1, bands, values.shape[-1]), 2, 0)
        values = values.reshape(bands, len(stored), -1)
        return values.mean(-1), jnp.square(values).mean(-1)

    chosen = np.arange(min(len(split), _MEASURED)) * len(split) // min(len(split), _MEASURED)
    sums = np.zeros((2, bands))
    for start in range(0, len(chosen), _CHUNK):
        part = moments(split.read(chosen[start : start + _CHUNK])[0])
        sums += np.asarray(part, np.float64).sum(-1)
    mean, square = sums / len(chosen)
    std = np.sqrt(np.maximum(square - mean**2, 0.0))
    return tuple(mean.tolist()), tuple(np.where(std > 1e-6, std, 1.0).tolist())


def _open(data: ConfigDict, example: jax.ShapeDtypeStruct, mean: Any, std: Any) -> SoundSignal:
    check_features(data.sound, example.shape[0])
    return SoundSignal(example, tuple(mean), tuple(std), Features.of(data.sound))


SIGNALS.add(
    "sound",
    SignalKind(
        about="int16 [T, C] from WAV and FLAC; as a wave, log-mel spectrogram or MFCC",
        reads=frozenset(
            {
                "sound",
                "augment.time_shift",
                "augment.time_masks",
                "augment.band_masks",
                "augment.noise",
                "augment.noise_snr",
            }
        ),
        stored=SOUNDS,
        codec=SoundCodec,
        measure=band_statistics,
        count=lambda data, example: Features.of(data.sound).bands,
        open=_open,
        unit="positions",
        by_channel=False,
    ),
)
