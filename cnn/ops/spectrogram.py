"""Spectrograms `[B, frames, bands, C]` of waveforms `[B, T, C]`; filters are made in float64."""

import jax.numpy as jnp
import numpy as np
from jax import Array

# The scale of Slaney's Auditory Toolbox is linear in 15 steps up to 1 kHz, and logarithmic with 27
# steps per factor of 6.4 above.
_LINEAR, _BREAK, _STEP = 200.0 / 3.0, 15.0, np.log(6.4) / 27.0


def mel(frequency: np.ndarray | float, scale: str) -> np.ndarray:
    """Returns frequencies in Hz on the mel scale, float64.

    Args:
      frequency: in Hz.
      scale: "slaney" (linear to 1 kHz, then logarithmic: Slaney 1998, Auditory Toolbox) or "htk"
        (2595 log10(1 + f / 700): O'Shaughnessy 1987).
    """
    frequency = np.asarray(frequency, np.float64)
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + frequency / 700.0)
    above = _BREAK + np.log(np.maximum(frequency, 1.0) / 1000.0) / _STEP
    return np.where(frequency < 1000.0, frequency / _LINEAR, above)


def hertz(mels: np.ndarray | float, scale: str) -> np.ndarray:
    """Returns the inverse of `mel`, in Hz."""
    mels = np.asarray(mels, np.float64)
    if scale == "htk":
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    return np.where(mels < _BREAK, mels * _LINEAR, 1000.0 * np.exp(_STEP * (mels - _BREAK)))


def mel_edges(bands: int, low: float, high: float, scale: str) -> np.ndarray:
    """Returns the edges of triangular mel bands in Hz, float64 `[bands + 2]`.

    They are equally spaced on the mel scale from `low` to `high` Hz; band i peaks at edge i + 1.
    """
    return hertz(np.linspace(mel(low, scale), mel(high, scale), bands + 2), scale)


def mel_filters(
    rate: int, fft: int, bands: int, low: float, high: float, scale: str, norm: str
) -> np.ndarray:
    """Returns triangular filters over the bins of a real FFT, float64 `[fft // 2 + 1, bands]`.

    Args:
      rate: samples per second.
      fft: FFT size in samples.
      bands: number of filters.
      low: lower edge of the first filter in Hz.
      high: upper edge of the last filter in Hz.
      scale: see `mel`.
      norm: "area" normalises each triangle to area 1 over Hz (Slaney), "peak" to a peak of 1.
    """
    edges = mel_edges(bands, low, high, scale)
    widths = np.diff(edges)
    distance = edges[None, :] - np.linspace(0.0, rate / 2.0, fft // 2 + 1)[:, None]
    rising, falling = -distance[:, :-2] / widths[:-1], distance[:, 2:] / widths[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    return filters * (2.0 / (edges[2:] - edges[:-2])) if norm == "area" else filters


def cosines(bands: int, count: int) -> np.ndarray:
    """Returns the first basis vectors of the orthonormal DCT-II, float64 `[bands, count]`."""
    angles = np.pi / bands * (np.arange(bands)[:, None] + 0.5) * np.arange(count)[None, :]
    matrix = np.sqrt(2.0 / bands) * np.cos(angles)
    matrix[:, 0] = np.sqrt(1.0 / bands)
    return matrix


def num_frames(samples: int, fft: int, hop: int, centred: bool) -> int:
    """Returns the number of frames of a waveform; zero or negative if it is too short for one."""
    return 1 + (samples + (2 * (fft // 2) if centred else 0) - fft) // hop


def spectrogram(
    wave: Array, fft: int, hop: int, window_length: int, window: str, power: float, centred: bool
) -> Array:
    """Returns |STFT| ** power, float32 `[B, frames, fft // 2 + 1, C]`.

    Args:
      wave: float32 `[B, T, C]`.
      fft: FFT size in samples.
      hop: samples between frames.
      window_length: window size in samples, zero-padded on both sides to `fft`.
      window: name in `scipy.signal.get_window`, in its periodic form.
      power: 1 for magnitudes, 2 for power.
      centred: whether frame t is centred on sample t * hop, with zeros beyond the ends of the
        waveform, instead of starting there.
    """
    # Takes longer to import than jax, and only sound needs it.
    from scipy.signal import get_window

    weights = np.zeros(fft, np.float32)
    start = (fft - window_length) // 2
    weights[start : start + window_length] = get_window(window, window_length)
    side = fft // 2 if centred else 0
    padded = jnp.pad(wave, ((0, 0), (side, side), (0, 0)))
    frames = num_frames(wave.shape[1], fft, hop, centred)
    places = np.arange(frames)[:, None] * hop + np.arange(fft)[None, :]
    framed = jnp.moveaxis(padded[:, places], -1, -2) * weights
    spectrum = jnp.fft.rfft(framed)
    squared = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    return jnp.moveaxis(squared if power == 2 else squared ** (power / 2), -1, -2)


def apply_filters(spectrum: Array, filters: np.ndarray) -> Array:
    """Applies filters `[bins, bands]` in float32: `[B, frames, bins, C]` -> `[..., bands, C]`."""
    # Accelerators would otherwise round the products.
    kernel = jnp.asarray(filters, jnp.float32)
    return jnp.einsum("btfc,fm->btmc", spectrum, kernel, precision="highest")


def decibels(spectrum: Array, floor: float, dynamic_range: float) -> Array:
    """Returns 10 log10(max(x, floor)), clipped to `dynamic_range` below the clip's maximum.

    Args:
      spectrum: power `[B, frames, bands, C]`.
      floor: positive, so that silence is finite.
      dynamic_range: in dB; 0: no limit.
    """
    level = 10.0 * jnp.log10(jnp.maximum(spectrum, floor))
    if not dynamic_range:
        return level
    return jnp.maximum(level, level.max((1, 2, 3), keepdims=True) - dynamic_range)
