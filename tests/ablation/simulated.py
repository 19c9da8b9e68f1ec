"""Studies with known truths: outcomes drawn from a model of seeds, examples and arms."""

import numpy as np

from cnn.ablation.analysis.study_results import Arm, SeedRun, Study


def outcomes(
    rng: np.random.Generator,
    seeds: int,
    examples: np.ndarray,
    gain: float | np.ndarray = 0.0,
    seed_spread: float = 0.04,
) -> np.ndarray:
    """Draws bool `[seeds, examples]`: right with the logit ease + gain + effect of the seed."""
    logits = examples + gain + rng.normal(0, seed_spread, (seeds, 1))
    return rng.random((seeds, len(examples))) < 1 / (1 + np.exp(-logits))


def curve(rng: np.random.Generator, final: float, steps: int = 30) -> list[tuple[float, float]]:
    """Draws a learning curve that ends near `final`."""
    places = np.linspace(1, 3000, steps)
    values = final * (1 - 0.7 * np.exp(-places / 500)) + rng.normal(0, 0.004, steps)
    return [(float(s), float(v)) for s, v in zip(places, values, strict=True)]


def run(
    rng: np.random.Generator, arm: str, seed: int, correct: np.ndarray, keep: bool = True
) -> SeedRun:
    """A finished run with everything that a report can show."""
    accuracy = float(correct.mean())
    return SeedRun(
        seed=seed,
        run_dir=f"runs/{arm}/seed_{seed}",
        metrics={"accuracy": accuracy, "shift_consistency": 0.6 + accuracy / 3},
        history={
            "validation/accuracy": curve(rng, accuracy),
            "train/loss": [(s, 2.5 * (1 - v)) for s, v in curve(rng, accuracy)],
        },
        correct=correct if keep else None,
    )


def arm(
    rng: np.random.Generator,
    name: str,
    examples: np.ndarray,
    gain: float = 0.0,
    seeds: range = range(10),
    keep: bool = True,
    **fields,
) -> Arm:
    """An arm whose logits exceed the baseline's by `gain`."""
    drawn = outcomes(rng, len(seeds), examples, gain)
    runs = tuple(run(rng, name, s, c, keep) for s, c in zip(seeds, drawn, strict=True))
    return Arm(name=name, seeds=runs, **fields)


def study(arms: list[Arm], **fields) -> Study:
    """A study around arms, the baseline being "max"."""
    known = {
        "name": "Pooling on the plain network",
        "config": "def get_study():\n    ...\n",
        "baseline": "max",
        "margin": 0.005,
        "versions": {"python": "3.11", "jax": "0.10.2"},
        "hardware": "two cores",
        "commit": "0123456789ab",
        "command": "python ablate.py run --config=configs/ablations/pooling.py",
    }
    return Study(arms=tuple(arms), **(known | fields))
