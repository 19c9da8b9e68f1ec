"""From WAV and FLAC files, or samples in records, to int16 waves of one rate and length."""

import io
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnn.config.errors import UserError
from cnn.data.split import Crop

_SCALE = 32768.0  # of int16


@dataclass(frozen=True)
class WaveForm:
    """The rate, length and channels that every decoded wave gets.

    Attributes:
      rate: samples a second; other rates are resampled (soxr, high quality).
      samples: in a clip.
      channels: 1 mixes all channels to their mean.
      short: what becomes of shorter waves: "pad" (zeros follow) or "refuse".
      long: part of a longer wave that is kept: "start" or "centre".
      stored: channels and samples a second of waves that are given as bare samples.
    """

    rate: int
    samples: int
    channels: int
    short: str
    long: str
    stored: tuple[int, int | None]
    dtype: ClassVar[np.dtype] = np.dtype(np.int16)
    varying: ClassVar[bool] = False

    @property
    def shape(self) -> tuple[int, int]:
        """Samples and channels of a decoded wave."""
        return self.samples, self.channels

    def decode(
        self, payload: bytes | np.ndarray, where: str, crop: Crop | None = None
    ) -> np.ndarray:
        """Returns int16 `[samples, channels]`; see `Form.decode`.

        Args:
          payload: a file, or the samples `[T * C]` of a record.
          where: what messages call it.
          crop: not for sounds.

        Raises:
          UserError: it is not a sound, is too short, or holds values that are not finite.
        """
        if crop is not None:
            raise ValueError("sounds are cropped by their form")
        wave = self.resampled(payload, where)
        if len(wave) < self.samples and self.short == "refuse":
            raise UserError(
                f"{where}: lasts {len(wave) / self.rate:.3g} s where clips last "
                f"{self.samples / self.rate:.3g} s; set data.sound.short=pad"
            )
        start = max(0, len(wave) - self.samples) // 2 if self.long == "centre" else 0
        part = wave[start : start + self.samples]
        clip = np.zeros(self.shape, np.int16)
        clip[: len(part)] = np.clip(np.round(part * _SCALE), -_SCALE, _SCALE - 1)
        return clip

    def resampled(self, payload: bytes | np.ndarray, where: str) -> np.ndarray:
        """Returns float32 `[T, channels]` in [-1, 1] at the form's rate, of any length."""
        if isinstance(payload, bytes):
            wave, rate = _read(payload, where)
        else:
            wave, rate = _scaled(payload).reshape(-1, self.stored[0]), self.stored[1]
        if not np.isfinite(wave).all():
            raise UserError(f"{where}: has samples that are not finite; replace or remove it")
        if self.channels == 1:
            wave = wave.mean(axis=1, keepdims=True)
        if rate in (None, self.rate):
            return wave
        import soxr

        return soxr.resample(wave, rate, self.rate, "HQ").reshape(-1, wave.shape[1])


def _scaled(samples: np.ndarray) -> np.ndarray:
    """Returns float32 in [-1, 1] of 16-bit integers, or of floats, which are that already."""
    scale = 1.0 if np.issubdtype(samples.dtype, np.floating) else _SCALE
    return (samples / scale).astype(np.float32)


def _read(payload: bytes, where: str) -> tuple[np.ndarray, int]:
    """Returns float32 `[T, C]` in [-1, 1] and the samples a second."""
    import soundfile

    try:
        return soundfile.read(io.BytesIO(payload), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise UserError(
            f"{where}: not a readable WAV or FLAC file; replace or remove it"
        ) from error


def header(path: Any) -> tuple[int, int, int]:
    """Returns samples, channels and samples a second that a file announces.

    Raises:
      ValueError: it is none that libsndfile reads, in a few words.
    """
    import soundfile

    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ValueError("not a WAV or FLAC file") from error
    return info.frames, info.channels, info.samplerate
