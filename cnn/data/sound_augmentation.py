"""Augmentation of sound on the device; each clip has its own draws."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.files import files_below
from cnn.data.waves import WaveForm

NOISES = ("white", "pink")
_LONGEST = 2**23  # samples of background noise kept on the device


def shift_in_time(key: Array, wave: Array, largest: int) -> Array:
    """Moves each wave `[B, T, C]` by up to `largest` samples earlier or later; zeros fill."""
    batch, samples, channels = wave.shape
    padded = jnp.pad(wave, ((0, 0), (largest, largest), (0, 0)))
    offsets = jax.random.randint(key, (batch,), 0, 2 * largest + 1)

    def cut(one: Array, offset: Array) -> Array:
        return jax.lax.dynamic_slice(one, (offset, 0), (samples, channels))

    return jax.vmap(cut)(padded, offsets)


def add_noise(key: Array, wave: Array, noise: Array | str, snr: tuple[float, float]) -> Array:
    """Adds noise to each wave `[B, T, C]` at a randomly drawn signal-to-noise ratio.

    Args:
      key: of the draws.
      wave: float32; silence stays silent.
      noise: "white", "pink" (power as 1 / frequency), or float32 `[N, C]`, from which each clip
        takes T samples at a random position.
      snr: lowest and highest ratio in dB, between which each clip draws one.
    """
    noise_key, snr_key = jax.random.split(key)
    if isinstance(noise, str):
        drawn = jax.random.normal(noise_key, wave.shape)
        drawn = _pink(drawn) if noise == "pink" else drawn
    else:
        starts = jax.random.randint(noise_key, (len(wave),), 0, noise.shape[0] - wave.shape[1] + 1)
        size = wave.shape[1:]
        drawn = jax.vmap(lambda s: jax.lax.dynamic_slice(noise, (s, 0), size))(starts)
    ratio = jax.random.uniform(snr_key, (len(wave), 1, 1), minval=snr[0], maxval=snr[1])
    power, own = (jnp.square(x).mean((1, 2), keepdims=True) for x in (wave, drawn))
    scale = jnp.sqrt(power / jnp.maximum(own, 1e-20) * 10.0 ** (-ratio / 10.0))
    return wave + scale * drawn


def _pink(white: Array) -> Array:
    """Filters white noise `[B, T, C]` to a power of 1 / frequency, without a mean."""
    samples = white.shape[1]
    weights = 1.0 / np.sqrt(np.maximum(np.arange(samples // 2 + 1), 1.0))
    weights[0] = 0.0
    shaped = jnp.fft.rfft(white, axis=1) * jnp.asarray(weights, jnp.float32)[:, None]
    return jnp.fft.irfft(shaped, samples, axis=1)


def mask(key: Array, features: Array, axis: int, count: int, widest: int) -> Array:
    """Sets `count` random ranges of an axis to zero, the mean, in each of `[B, frames, bands, C]`.

    SpecAugment (Park et al., Interspeech 2019): the width is uniform in 0 to `widest`, and then
    the start among the places where the range fits.
    """
    batch, size = features.shape[0], features.shape[axis]
    width_key, start_key = jax.random.split(key)
    widths = jax.random.randint(width_key, (batch, count), 0, widest + 1)
    starts = jax.random.uniform(start_key, (batch, count)) * (size - widths + 1)
    starts = jnp.minimum(starts.astype(jnp.int32), size - widths)[..., None]
    places = jnp.arange(size)
    inside = ((places >= starts) & (places < starts + widths[..., None])).any(1)
    shape = [batch, *(size if i == axis else 1 for i in range(1, features.ndim))]
    return jnp.where(inside.reshape(shape), 0.0, features)


def make_noise(augment: ConfigDict, shape: tuple[int, ...], rate: int) -> Array | str | None:
    """Returns what `add_noise` takes for clips `[T, C]`; None when noise is off.

    Raises:
      UserError: the folder contains no sound, or a broken one.
    """
    if not augment.noise_snr:
        return None
    if augment.noise in NOISES:
        return augment.noise
    found = files_below(augment.noise) if os.path.isdir(augment.noise) else ()
    files = sorted(p for p in map(Path, found) if p.suffix.lower() in (".wav", ".flac"))
    if not files:
        raise UserError(
            f"augment.noise: '{augment.noise}' is not white, pink or a folder of WAV or FLAC files"
        )
    form = WaveForm(rate, shape[0], shape[1], "pad", "start", (1, None))
    waves, total = [], 0
    for file in files:
        wave = form.resampled(file.read_bytes(), str(file))
        if wave.shape[1] != shape[1]:
            raise UserError(f"{file}: has {wave.shape[1]} channels, but clips have {shape[1]}")
        waves.append(wave)
        total += len(wave)
        if total >= _LONGEST:
            break
    joined = np.concatenate(waves)[:_LONGEST]
    repeats = -(-shape[0] // len(joined)) if len(joined) else 0
    if not repeats:
        raise UserError(f"augment.noise: the sounds in '{augment.noise}' contain no samples")
    return jnp.asarray(np.tile(joined, (repeats, 1)))


def check_sound_augment(
    augment: ConfigDict, seconds: float, shape: tuple[int, ...], kind: str
) -> None:
    """Checks the augment section of a config against the sounds it is to be applied to.

    Args:
      augment: the section.
      seconds: length of a clip.
      shape: of the features.
      kind: of the features.

    Raises:
      UserError: a value cannot be applied to such clips, naming its field.
    """
    if augment.time_shift >= seconds:
        raise UserError(
            f"augment.time_shift: {augment.time_shift} s is too long for clips of {seconds:g} s"
        )
    snr = tuple(augment.noise_snr)
    if snr and snr[0] > snr[1]:
        raise UserError(f"augment.noise_snr: {snr} is not a range in dB; write it like (5.0, 20.0)")
    if augment.noise != "white" and not snr:
        raise UserError(
            "augment.noise: has no effect without augment.noise_snr; set it, e.g. (5.0, 20.0)"
        )
    for axis, name in enumerate(("time_masks", "band_masks")):
        masks = tuple(augment[name])
        if masks and kind == "wave":
            raise UserError(
                f"augment.{name}: has no effect with data.sound.features=wave; leave it out, or "
                "choose a spectrogram"
            )
        if masks and not (min(masks) > 0 and masks[1] <= shape[axis]):
            raise UserError(
                f"augment.{name}: {masks} is not a number of masks and their largest width, "
                f"from 1 to {shape[axis]}"
            )
