"""Shifts in time: of stored waveforms, filled with zeros, and of video frames, circular."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.config.errors import UserError
from cnn.evaluation.model_under_test import ModelUnderTest
from cnn.evaluation.shift.protocols import PASSES, SEED, Protocol, same_shifts

STEPS = 10  # of the path, in each direction


def on_waves(model: ModelUnderTest) -> ModelUnderTest:
    """Returns the same network as a function of stored waveforms, which can then be shifted."""
    prepare, logits = model.normalize, model.logits

    def of_wave(variables: object, wave: Array) -> Array:
        return logits(variables, prepare(wave))

    return ModelUnderTest(of_wave, lambda stored: stored, model.variables, model.feed)


def time_protocols(
    samples: int, rate: int, milliseconds: float, passes: int = PASSES
) -> dict[str, Protocol]:
    """Returns protocols for waveforms: random pairs of shifts, and a path of 21 shifts.

    Args:
      samples: per clip.
      rate: samples per second.
      milliseconds: largest shift in either direction.
      passes: pairs per example.

    Raises:
      UserError: clips are too short for the shifts.
    """
    max_shift = round(milliseconds * rate / 1000)
    if not 0 < 2 * max_shift < samples:
        raise UserError(
            f"--suite=shift: clips of {1000 * samples / rate:g} ms are too short for shifts of "
            f"{milliseconds:g} ms in either direction; use smaller shifts, such as "
            "--suite='shift(max_shift=20)'"
        )
    path = np.round(np.linspace(-max_shift, max_shift, 2 * STEPS + 1)).astype(np.int32)
    grid = np.stack([path, np.zeros_like(path)], 1)
    words = f"of -{milliseconds:g} to {milliseconds:g} ms, filled with zeros"
    return {
        "time_per_clip": Protocol(
            "pairs",
            move_wave,
            partial(_pairs, max_shift, passes),
            f"two shifts {words}, drawn for each clip; {passes} passes",
            domain=_domain(max_shift),
        ),
        "time_path": Protocol(
            "path",
            move_wave,
            partial(same_shifts, grid),
            f"{len(path)} shifts {words}, in equal steps",
            grid=grid,
        ),
    }


def frame_protocols(frames: int, max_shift: int, passes: int = PASSES) -> dict[str, Protocol]:
    """Returns protocols for clips: random pairs of shifts, and every shift up to `max_shift`.

    Shifts are by whole frames and circular, so that no frame is lost.

    Raises:
      UserError: clips are too short for the shifts.
    """
    if not 0 < 2 * max_shift < frames:
        raise UserError(
            f"--suite=shift: clips of {frames} frames are too short for shifts of {max_shift} "
            "frames in either direction; use smaller ones, such as --suite='shift(max_shift=1)'"
        )
    grid, words = _domain(max_shift), f"of -{max_shift} to {max_shift} frames, circular"
    return {
        "time_per_clip": Protocol(
            "pairs",
            move_frames,
            partial(_pairs, max_shift, passes),
            f"two shifts {words}, drawn for each clip; {passes} passes",
            domain=grid,
        ),
        "time_path": Protocol(
            "path",
            move_frames,
            partial(same_shifts, grid),
            f"{len(grid)} shifts {words}",
            grid=grid,
        ),
    }


def move_frames(x: Array, offsets: Array) -> Array:
    """Shifts clips `[B, T, H, W, C]` circularly by whole frames, the first element of `offsets`."""
    offsets = jnp.broadcast_to(offsets, (len(x), 2))
    return jax.vmap(lambda clip, offset: jnp.roll(clip, offset[0], 0))(x, offsets)


def move_wave(x: Array, offsets: Array) -> Array:
    """Shifts waveforms `[B, T, C]` by whole samples, the first element of `offsets`."""

    def move(wave: Array, offset: Array) -> Array:
        places = jnp.arange(len(wave)) - offset[0]
        inside = (places >= 0) & (places < len(wave))
        return jnp.where(inside[:, None], wave[jnp.clip(places, 0, len(wave) - 1)], 0)

    return jax.vmap(move)(x, jnp.broadcast_to(offsets, (len(x), 2)))


def _domain(max_shift: int) -> np.ndarray:
    every = np.arange(-max_shift, max_shift + 1)
    return np.stack([every, np.zeros_like(every)], 1)


def _pairs(max_shift: int, passes: int, start: int, rows: int) -> np.ndarray:
    ends = -max_shift, max_shift + 1
    # One random stream per example, so that its shifts do not depend on the batch size.
    drawn = [
        np.random.default_rng((SEED, owner)).integers(*ends, 2 * passes, np.int32)
        for owner in range(start, start + rows)
    ]
    first = np.stack(drawn, 1)
    return np.stack([first, np.zeros_like(first)], -1)
