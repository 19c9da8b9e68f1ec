"""From WAV and FLAC files, or samples in records, to int16 waves of one rate and length."""

import io
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnn.config.errors import UserError
from cnn.data.split import Crop

_SCALE = 32768.0  # of int16
_LOUDEST = 8.0  # sample of a float file that is still an overdriven recording, not another scale
_BLOCK = 1 << 22  # samples for which room is made at once, whatever a header announces
_UNKNOWN_SIZE = 0x7FFFF000  # of the samples, and more: what programs write that cannot seek back


@dataclass(frozen=True)
class WaveForm:
    """The rate, length and channels that every decoded wave gets.

    Attributes:
      rate: samples per second; other rates are resampled (soxr, high quality).
      samples: in a clip.
      channels: 1 mixes all channels to their mean.
      short: treatment of shorter waves: "pad" (with zeros) or "refuse".
      long: part of a longer wave that is kept: "start" or "centre".
      stored: channels and samples per second of waves that are given as bare samples.
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
          UserError: it is not a sound, is too short, or contains values that are not finite.
        """
        if crop is not None:
            raise ValueError("sounds are cropped by their form")
        wave = self.resampled(payload, where)
        if len(wave) < self.samples and self.short == "refuse":
            raise UserError(
                f"{where}: lasts {len(wave) / self.rate:.3g} s, but clips last "
                f"{self.samples / self.rate:.3g} s; set data.sound.short=pad to pad it"
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
        _check_samples(wave, where)
        if self.channels == 1:
            wave = wave.mean(axis=1, keepdims=True)
        if rate in (None, self.rate):
            return wave
        import soxr

        return soxr.resample(wave, rate, self.rate, "HQ").reshape(-1, wave.shape[1])


def _check_samples(wave: np.ndarray, where: str) -> None:
    largest = np.abs(wave).max(initial=0.0)
    if not np.isfinite(largest):
        raise UserError(f"{where}: has samples that are not finite; replace or remove it")
    if largest > _LOUDEST:
        raise UserError(
            f"{where}: has samples up to {largest:g}, but floating-point sounds must lie within -1 "
            "and 1; divide them by 32768 if they are scaled like 16-bit integers"
        )


def _scaled(samples: np.ndarray) -> np.ndarray:
    """Returns float32 in [-1, 1] of 16-bit integers, or of floats, which are that already."""
    scale = 1.0 if np.issubdtype(samples.dtype, np.floating) else _SCALE
    return (samples / scale).astype(np.float32)


def _read(payload: bytes, where: str) -> tuple[np.ndarray, int]:
    """Returns float32 `[T, C]` in [-1, 1] and the samples per second."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(payload)) as file:
            announced, rate = file.frames, file.samplerate
            parts = [file.read(_BLOCK, dtype="float32", always_2d=True)]
            while len(parts[-1]) == _BLOCK:
                parts.append(file.read(_BLOCK, dtype="float32", always_2d=True))
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise UserError(
            f"{where}: not a readable WAV or FLAC file; replace or remove it"
        ) from error
    wave = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if len(wave) < announced or _is_cut(payload):
        raise UserError(f"{where}: truncated or damaged; replace or remove it")
    return wave, rate


def _is_cut(wav: bytes) -> bool:
    """Whether a RIFF file has fewer samples than its header states, which libsndfile ignores."""
    order = {b"RIFF": "little", b"RIFX": "big"}.get(wav[:4])
    if order is None:
        return False
    at = 12
    while at + 8 <= len(wav):
        size = int.from_bytes(wav[at + 4 : at + 8], order)
        if wav[at : at + 4] == b"data":
            return size < _UNKNOWN_SIZE and at + 8 + size > len(wav)
        at += 8 + size + size % 2
    return False


def look_at_wave(payload: bytes, where: str) -> tuple[int, int, int]:
    """Returns samples, channels and samples per second of a file, all of which is decoded.

    Raises:
      UserError: libsndfile cannot read it, or it is damaged.
    """
    wave, rate = _read(payload, where)
    _check_samples(wave, where)
    return *wave.shape, rate
