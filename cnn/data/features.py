"""Features of a wave: the wave itself, log-mel bands in decibels, or their cepstrum (MFCC)."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.ops.spectrogram import (
    apply_filters,
    cosines,
    decibels,
    mel_filters,
    num_frames,
    spectrogram,
)


@dataclass(frozen=True)
class Features:
    """A function of waves; the attributes are the fields of `data.sound`, with zeros resolved."""

    kind: str
    rate: int
    fft: int
    window_length: int
    hop: int
    window: str
    centred: bool
    mels: int
    low: float
    high: float
    scale: str
    filter_norm: str
    exponent: int
    level: str
    floor: float
    dynamic_range: float
    coefficients: int
    normalize: str

    @classmethod
    def of(cls, sound: ConfigDict) -> "Features":
        """Reads `config.data.sound`."""
        same = ("rate", "fft", "hop", "window", "centred", "low", "scale", "filter_norm", "floor")
        same += ("exponent", "level", "dynamic_range", "coefficients", "normalize")
        return cls(
            kind=sound.features,
            window_length=sound.window_length or sound.fft,
            mels=sound.bands,
            high=sound.high or sound.rate / 2,
            **{name: sound[name] for name in same},
        )

    @property
    def bands(self) -> int:
        """Size of the axis that statistics are kept for; 1 for a wave."""
        return {"wave": 1, "log_mel": self.mels, "mfcc": self.coefficients}[self.kind]

    @property
    def extent(self) -> tuple[float, float]:
        """Milliseconds that a position of the network's input sees, and from one to the next."""
        samples, step = (1, 1) if self.kind == "wave" else (self.window_length, self.hop)
        return 1000 * samples / self.rate, 1000 * step / self.rate

    def __call__(self, wave: Array) -> Array:
        """Returns float32 `[B, T, C]` as it is, or `[B, frames, bands, C]` of it."""
        if self.kind == "wave":
            return wave
        spectrum = spectrogram(
            wave,
            self.fft,
            self.hop,
            self.window_length,
            self.window,
            self.exponent,
            self.centred,
        )
        filters = mel_filters(
            self.rate, self.fft, self.mels, self.low, self.high, self.scale, self.filter_norm
        )
        bands = apply_filters(spectrum, filters)
        if self.level == "log":
            level = jnp.log(bands + self.floor)
        else:
            level = decibels(bands, self.floor, self.dynamic_range)
        if self.kind == "log_mel":
            return level
        return apply_filters(level, cosines(self.mels, self.coefficients))


def check_features(sound: ConfigDict, samples: int) -> None:
    """Refuses features that cannot be computed from clips of so many samples.

    Raises:
      UserError: names the field of `data.sound`.
    """
    if sound.features == "wave":
        return
    features = Features.of(sound)
    if features.level == "log" and features.dynamic_range:
        raise UserError(
            "data.sound.dynamic_range: has no effect with data.sound.level=log; leave it out"
        )
    if features.window_length > features.fft:
        raise UserError(
            f"data.sound.window_length: {features.window_length} is longer than "
            f"data.sound.fft={features.fft}"
        )
    if num_frames(samples, features.fft, features.hop, features.centred) < 1:
        raise UserError(
            f"data.sound.fft: clips of {samples} samples are shorter than a frame of "
            f"{features.fft}; increase data.sound.seconds, or set data.sound.centred=True"
        )
    if not features.low < features.high <= features.rate / 2:
        raise UserError(
            f"data.sound.high: bands from {features.low:g} to {features.high:g} Hz are not within "
            f"0 to {features.rate / 2:g} Hz, half of data.sound.rate"
        )
    if sound.features == "mfcc" and features.coefficients > features.mels:
        raise UserError(
            f"data.sound.coefficients: {features.coefficients} exceeds the {features.mels} "
            "of data.sound.bands"
        )
