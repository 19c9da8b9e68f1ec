"""A model of per-example outcomes, fitted to `results/pooling`, from which studies are drawn.

The log-odds of a right answer are those of the example, plus what the arm changes on it, plus what
the seed does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import optimize, special

POOLING = Path(__file__).parents[2] / "results" / "pooling"
EXAMPLES = 2000


@dataclass(frozen=True)
class Model:
    """What outcomes are drawn from, in log-odds.

    Attributes:
      mean, ease: mean and standard deviation over examples.
      arm: standard deviation of what an arm changes on an example.
      seed: standard deviation of what a seed does to all examples.
    """

    mean: float
    ease: float
    arm: float
    seed: float

    def accuracy(self, gain: float = 0.0, effects: np.ndarray | None = None) -> float:
        """Expected accuracy of an arm with a gain and, instead of normal ones, seed effects."""
        seeds = self.seed * normal_nodes()[0] if effects is None else effects
        weights = normal_nodes()[1] if effects is None else np.full(len(effects), 1 / len(effects))
        sd = np.hypot(self.ease, self.arm)
        logits = self.mean + gain + sd * normal_nodes()[0][:, None] + seeds
        return float(normal_nodes()[1] @ special.expit(logits) @ weights)

    def gain(self, difference: float, effects: np.ndarray | None = None) -> float:
        """The gain that changes the expected accuracy by a difference."""
        wanted = self.accuracy() + difference
        return float(optimize.brentq(lambda g: self.accuracy(g, effects) - wanted, -9, 9))


@cache
def normal_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss-Hermite quadrature for a standard normal variable."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return nodes, weights / weights.sum()


@cache
def fitted() -> Model:
    """The model that has the accuracies and the agreements of two runs of results/pooling."""
    arms = []
    for folder in sorted(path for path in POOLING.iterdir() if path.is_dir()):
        files = sorted(folder.glob("seed-*/test_predictions.npz"))
        outcomes = [np.load(file) for file in files]
        arms.append(np.stack([o["prediction"] == o["label"] for o in outcomes]).astype(float))
    level = np.mean([arm.mean() for arm in arms])
    seeds, examples = arms[0].shape
    within = np.mean(
        [(a.sum(0) ** 2 - a.sum(0)).mean() / (seeds * (seeds - 1)) for a in arms]
    )  # two seeds of one arm are both right
    between = np.mean(
        [(a.mean(0) * b.mean(0)).mean() for i, a in enumerate(arms) for b in arms[:i]]
    )
    rows = np.mean([a.mean(1).var(ddof=1) - a.var(0, ddof=1).mean() / examples for a in arms])

    def both_right(mean: float, common: float, own: float) -> float:
        nodes, weights = normal_nodes()
        each = special.expit(mean + common * nodes[:, None] + own * nodes) @ weights
        return float(weights @ each**2)

    def mean_of(sd: float) -> float:
        nodes, weights = normal_nodes()
        return optimize.brentq(lambda m: special.expit(m + sd * nodes) @ weights - level, -9, 20)

    total = optimize.brentq(lambda sd: both_right(mean_of(sd), sd, 0.0) - within, 0.1, 12)
    ease = optimize.brentq(
        lambda sd: both_right(mean_of(total), sd, np.sqrt(total**2 - sd**2)) - between, 0.1, total
    )
    logits = mean_of(total) + total * normal_nodes()[0]
    slope = normal_nodes()[1] @ (special.expit(logits) * special.expit(-logits))
    own = np.sqrt(total**2 - ease**2)
    return Model(mean_of(total), float(ease), float(own), float(np.sqrt(max(rows, 0)) / slope))


@dataclass(frozen=True)
class Arm:
    """How the outcomes of one arm are drawn.

    Attributes:
      gain: in log-odds.
      effects: (rng, seeds) -> what each seed does, in log-odds.
    """

    gain: float
    effects: Callable[[np.random.Generator, int], np.ndarray]


def normal(spread: float = 1.0) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Seeds of a multiple of the fitted standard deviation."""
    return lambda rng, seeds: rng.normal(0, spread * fitted().seed, seeds)


def skewed(spread: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Seeds that lean to the left: the negative of an exponential distribution."""
    return lambda rng, seeds: spread * fitted().seed * (1 - rng.exponential(1, seeds))


@cache
def _quantiles(effects: str, spread: float) -> np.ndarray:
    grid = (np.arange(2000) + 0.5) / 2000
    unit = special.ndtri(grid) if effects == "normal" else 1 + np.log(grid)
    return spread * fitted().seed * unit


def like_baseline(effects: str = "normal", spread: float = 1.0, difference: float = 0.0) -> Arm:
    """An arm whose expected accuracy differs from the baseline's by so much."""
    draw = {"normal": normal, "skewed": skewed}[effects](spread)
    return Arm(fitted().gain(difference, _quantiles(effects, spread)), draw)


def draw(
    rng: np.random.Generator,
    arms: list[Arm],
    seeds: int,
    examples: int = EXAMPLES,
    units: np.ndarray | None = None,
    unit_sd: float = 0.0,
    mean: float | None = None,
) -> list[np.ndarray]:
    """Bool `[seeds, examples]` for each arm.

    Args:
      rng: of the random numbers.
      arms: the baseline first.
      seeds: of each.
      examples: of the test set, which all arms share.
      units: of the examples.
      unit_sd: standard deviation of what an arm changes on all examples of a unit.
      mean: of the log-odds; None: as fitted.
    """
    model, tables = fitted(), []
    ease = (model.mean if mean is None else mean) + rng.normal(0, model.ease, examples)
    for arm in arms:
        logits = ease + arm.gain + rng.normal(0, model.arm, examples)
        if units is not None:
            logits = logits + rng.normal(0, unit_sd, units.max() + 1)[units]
        logits = logits + arm.effects(rng, seeds)[:, None]
        tables.append(rng.random(logits.shape, np.float32) < special.expit(logits))
    return tables
