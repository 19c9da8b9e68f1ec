"""Studies with known truths: outcomes drawn from a model of seeds, examples and arms."""

from dataclasses import replace

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


def small_arms(rng, gains, again=0.0, seeds=range(5), **fields) -> list[Arm]:
    """Arms with gains in logits, and the baseline again, which should have none."""
    ease = rng.normal(2.5, 1.5, 1500)
    fields = {"params": 186_000, "macs": 13_100_000, "step_time_ms": 41.0} | fields
    arms = [arm(rng, name, ease, gain, seeds, **fields) for name, gain in gains.items()]
    return [*arms, arm(rng, "max again", ease, again, range(100, 105), **fields)]


def unfinished(arms: list[Arm], name: str, finished: int) -> list[Arm]:
    """The arms, one of which has only begun some of its runs."""
    return [
        replace(
            one,
            seeds=tuple(
                run if i < finished else SeedRun(run.seed, run.run_dir, status="begun")
                for i, run in enumerate(one.seeds)
            ),
        )
        if one.name == name
        else one
        for one in arms
    ]


def lose(arms: list[Arm], name: str, count: int, status: str) -> list[Arm]:
    """The arms, one of which lost its worst runs."""
    lost = []
    for one in arms:
        if one.name == name:
            worst = sorted(one.seeds, key=lambda run: run.metrics["accuracy"])[:count]
            ended = {"error": f"it {status}", "status": status}
            runs = (SeedRun(r.seed, r.run_dir, **ended) if r in worst else r for r in one.seeds)
            one = replace(one, seeds=tuple(runs))
        lost.append(one)
    return lost


def tied(right: list[list[int]], examples: int, name: str) -> Arm:
    """An arm whose seeds are wrong on the examples listed."""
    tables = np.ones((len(right), examples), bool)
    for table, wrong in zip(tables, right, strict=True):
        table[wrong] = False
    runs = [
        SeedRun(i, f"runs/{name}/{i}", {"accuracy": float(t.mean())}, correct=t)
        for i, t in enumerate(tables)
    ]
    return Arm(name, seeds=tuple(runs))
