"""Images of examples and feature maps of any signal: time to the right, frequency upwards.

A clip is a strip of its frames, side by side.
"""

from dataclasses import dataclass

import jax
import numpy as np

from cnn.data.signals import Signal
from cnn.data.signals.sound import SoundSignal
from cnn.data.signals.video import VideoSignal

_WAVE_HEIGHT = 48  # pixels of a drawn wave


@dataclass(frozen=True)
class Drawing:
    """How to draw inputs and feature maps of one kind of signal.

    Attributes:
      signal: of the run's data.
    """

    signal: Signal

    @property
    def axes(self) -> str:
        """Description of the image axes, with units; "" for images."""
        if isinstance(self.signal, VideoSignal):
            return f"frames side by side, the first on the left, of {self.signal.shape[0]}"
        if not isinstance(self.signal, SoundSignal):
            return ""
        features = self.signal.features
        seconds = self.signal.example.shape[0] / features.rate
        words = f"time to the right, 0 to {1000 * seconds:.0f} ms"
        if features.kind == "log_mel":
            words += f"; frequency upwards, {features.low:.0f} to {features.high:.0f} Hz ("
            words += f"{features.mels} mel bands)"
        if features.kind == "mfcc":
            words += f"; cosines upwards, 0 to {features.coefficients - 1}"
        return words

    def pictures(self, stored: np.ndarray) -> np.ndarray:
        """Returns stored examples `[B, ...]` as pixels `[B, H, W, C]` of 0 to 255."""
        if isinstance(self.signal, VideoSignal):
            return self.upright(stored)
        if not isinstance(self.signal, SoundSignal):
            return stored
        inputs = np.asarray(jax.jit(self.signal.prepare)(stored))[..., :1]
        if inputs.ndim == 3:
            return np.stack([_wave(one[:, 0]) for one in inputs])
        low = inputs.min((1, 2, 3), keepdims=True)
        span = np.maximum(inputs.max((1, 2, 3), keepdims=True) - low, 1e-12)
        return self.upright(255.0 * (inputs - low) / span)

    def upright(self, maps: np.ndarray) -> np.ndarray:
        """Reorients maps `[B, *spatial, ...]` to image axes `[B, h, w, ...]`."""
        if isinstance(self.signal, VideoSignal):
            batch, frames, height, width, *rest = maps.shape
            return np.moveaxis(maps, 1, 2).reshape(batch, height, frames * width, *rest)
        if not isinstance(self.signal, SoundSignal):
            return maps
        if len(self.signal.shape) == 2:
            # A waveform has one axis: repeat it to a strip.
            height = max(1, maps.shape[1] // 8)
            return np.repeat(maps[:, None], height, axis=1)
        return np.swapaxes(maps, 1, 2)[:, ::-1]


def _wave(wave: np.ndarray, width: int = 256) -> np.ndarray:
    """Draws the range of each part of a wave `[T]` as a column, `[h, width, 1]`, white on black."""
    width = min(width, len(wave))
    parts = np.array_split(wave / max(np.abs(wave).max(), 1e-12), width)
    rows = np.linspace(1, -1, _WAVE_HEIGHT)[:, None]
    slack = 1 / (_WAVE_HEIGHT - 2)  # at least one pixel per column
    low = np.array([part.min() for part in parts]) - slack
    high = np.array([part.max() for part in parts]) + slack
    return 255.0 * ((rows >= low) & (rows <= high))[..., None]
