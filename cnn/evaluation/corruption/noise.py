"""Noise on float images `[B, H, W, C]` in [0, 1], with a parameter and one generator per image."""

from collections.abc import Sequence

import numpy as np

Generators = Sequence[np.random.Generator]


def gaussian_noise(x: np.ndarray, scale: float, rngs: Generators) -> np.ndarray:
    """Adds Gaussian noise of standard deviation `scale`."""
    return x + np.stack([rng.normal(scale=scale, size=x.shape[1:]) for rng in rngs])


def shot_noise(x: np.ndarray, photons: float, rngs: Generators) -> np.ndarray:
    """Poisson noise: counts of mean `photons` * x, divided by `photons`."""
    return np.stack([rng.poisson(i * photons) for i, rng in zip(x, rngs, strict=True)]) / photons


def impulse_noise(x: np.ndarray, amount: float, rngs: Generators) -> np.ndarray:
    """Sets a share `amount` of all values to 0 or 1 with equal probability, per channel."""
    draws = np.stack([rng.random((2, *x.shape[1:])) for rng in rngs])
    return np.where(draws[:, 0] <= amount, np.where(draws[:, 1] <= 0.5, 1.0, 0.0), x)
