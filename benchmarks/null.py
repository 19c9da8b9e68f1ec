"""How often the rule of the studies finds a difference where there is none, in real runs.

    python benchmarks/null.py --study=runs/null
    python benchmarks/null.py --out=benchmarks/results/null.json

`results/null/outcomes.npz` holds what at least 200 runs of one config, which differ in their seeds
alone, got right on the test set. The first command makes it of the study that
`configs/ablations/null.py` describes. The second draws studies of two arms from it, without
replacement, and lets the code of reports decide: every "better" or "worse" is an error. Given the
runs, the drawn studies are independent, so the rate lies in its binomial interval.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))

from cnn.ablation.analysis.outcomes import Outcomes, outcomes_of
from cnn.ablation.analysis.study_analysis import ALPHA, kinds
from cnn.ablation.analysis.study_results import Arm, SeedRun, Study
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import POPULATIONS, Population

COMMITTED = Path(__file__).parents[1] / "results" / "null" / "outcomes.npz"
FEWEST_RUNS = 200
# So small that nothing is equivalent, which would hide a difference.
MARGIN = 1e-9


def study_of(groups: list[np.ndarray], *, paired: bool, population: Population) -> Study:
    """Returns a study whose arms are groups of runs, the first one its baseline.

    Args:
      groups: bool `[seeds, examples]` each.
      paired: whether row k of all is one block.
      population: what its verdicts speak for.
    """
    arms = tuple(
        Arm(str(place), seeds=tuple(_run(place, k, row) for k, row in enumerate(group)))
        for place, group in enumerate(groups)
    )
    return Study("A/A", "", arms, "0", MARGIN, paired=paired, population=population)


def _run(arm: int, seed: int, correct: np.ndarray) -> SeedRun:
    accuracy = float(correct.mean())
    return SeedRun(seed, f"{arm}/{seed}", {"accuracy": accuracy}, correct=correct)


def different(study: Study) -> bool:
    """Whether any arm is called better or worse than the baseline."""
    return bool({"better", "worse"} & set(kinds(study).values()))


def rate(
    correct: np.ndarray,
    seeds: int,
    studies: int,
    *,
    paired: bool,
    population: Population,
    lost: float = 0.0,
) -> float:
    """The share of drawn A/A studies that find a difference.

    Args:
      correct: bool `[runs, examples]` of one config.
      seeds: of each of the two arms.
      studies: to draw.
      paired: whether their seeds are declared paired.
      population: what their verdicts speak for.
      lost: share of the right answers that the second arm loses, at random: a true difference,
        which has to be found.
    """
    rng = np.random.default_rng(seeds)
    found = 0
    for _ in range(studies):
        drawn = correct[rng.permutation(len(correct))[: 2 * seeds]]
        arm = drawn[seeds:] & (rng.random((seeds, correct.shape[1])) >= lost)
        study = study_of([drawn[:seeds], arm], paired=paired, population=population)
        found += different(study)
    return found / studies


def most(studies: int) -> float:
    """The largest rate that a true rate of 5 % explains, in 99.9 of 100 draws."""
    return float(stats.binom.ppf(0.999, studies, ALPHA)) / studies


def rows(correct: np.ndarray, studies: int) -> Iterator[dict[str, Any]]:
    """Yields the rates by number of seeds, pairing and population."""
    for population in POPULATIONS:
        for seeds in (3, 5, 10):
            for paired in (False, True):
                setting = {"seeds": seeds, "paired": paired, "population": population}
                yield setting | {"rate": rate(correct, studies=studies, **setting)}


def main() -> None:
    """Compacts a study, or draws from the one that is committed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", help="folder of the study whose outcomes to keep")
    parser.add_argument("--out", help="file for the rates")
    parser.add_argument("--studies", type=int, default=2000, help="drawn for each rate")
    options = parser.parse_args()
    if options.study:
        found = outcomes_of(StudyFolder(Path(options.study).absolute()))
        if len(found.runs) < FEWEST_RUNS:
            raise SystemExit(
                f"--study: {len(found.runs)} runs have ended; {FEWEST_RUNS} are needed"
            )
        found.write(COMMITTED)
    if options.out:
        found = Outcomes.read(COMMITTED)
        result = {
            "runs": len(found.runs),
            "examples": found.correct.shape[1],
            "accuracy": float(found.correct.mean()),
            "seed_sd": float(found.correct.mean(axis=1).std(ddof=1)),
            "commits": sorted(set(found.commits)),
            "hardware": sorted(set(found.hardware)),
            "studies": options.studies,
            "rates": list(rows(found.correct, options.studies)),
        }
        Path(options.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
