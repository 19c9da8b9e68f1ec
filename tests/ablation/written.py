"""Study folders that are written, not trained: the files of runs, with outcomes that are drawn."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnn.ablation.planning.runs import Run, arms_of
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import SPLIT, StudyPlan
from cnn.evaluation.results import ResultFile
from cnn.evaluation.suites import chosen
from cnn.training.run_folder import RunFolder
from tests.conftest import TINY

CLASSES, EXAMPLES = 7, 1000
# What suites find, given a consistency.
SUITES = {
    "shift": lambda value: {
        "circular_grid": {"consistency": value},
        "crop_per_image": {"consistency": value - 0.05},
    },
    "calibration": lambda value: {"as_trained": {"ece": 1 - value}},
    "deformation": lambda value: {"sensitivity": 1 - value},
}


def plan_of(operators: Mapping[str, str], **fields: Any) -> StudyPlan:
    """Returns a plan whose arms are operators by name, the first one the baseline."""
    known = {
        "name": "Written <study>",
        "config": "configs/base.py",
        "shared": TINY,
        "arms": {name: (f"model.downsample={text}",) for name, text in operators.items()},
        "baseline": next(iter(operators)),
        "seeds": range(4),
        "margin": 0.5,
        "repeat_baseline": False,
    }
    return StudyPlan(**(known | fields))


def write_study(
    folder: Path,
    plan: StudyPlan,
    accuracies: Mapping[str, float],
    consistencies: Mapping[str, float] | None = None,
    seed_sd: float = 0.002,
) -> Path:
    """Writes the finished runs of some arms of a study.

    Args:
      folder: of the study.
      plan: of the study.
      accuracies: of each arm that has run.
      consistencies: of each arm, for its suites; 0.9 of those that are not named.
      seed_sd: standard deviation over the seeds of accuracies and consistencies.
    """
    study, rng = StudyFolder(folder), np.random.default_rng(len(accuracies))
    study.begin(plan, "configs/ablations/quick.py", [])
    plan = study.plan()  # with what a tuned study chose
    ease = rng.random(EXAMPLES)
    for name, runs in arms_of(plan, folder).items():
        arm = plan.baseline if name == plan.aa_arm else name
        for run in runs if arm in accuracies else []:
            accuracy = accuracies[arm] + rng.normal(0, seed_sd)
            # Some examples are easy for all; on the others arms and seeds differ.
            correct = (0.8 * ease + 0.2 * rng.random(EXAMPLES)).argsort().argsort()
            consistency = (consistencies or {}).get(arm, 0.9)
            moved = consistency + rng.normal(0, seed_sd) * (consistency < 1)
            write_run(run, correct < round(accuracy * EXAMPLES), moved)
    return folder


def write_run(run: Run, correct: np.ndarray, consistency: float) -> None:
    """Writes one finished run."""
    folder = RunFolder(run.folder)
    config = run.load().config
    folder.claim(config, {"mean": [0.5], "std": [0.5]})
    labels = np.arange(len(correct)) % CLASSES
    outcomes = {
        "prediction": np.where(correct, labels, (labels + 1) % CLASSES),
        "label": labels,
        "loss": np.zeros(len(correct)),
    }
    test = {
        "accuracy": float(correct.mean()),
        "loss": 0.5,
        "count": len(correct),
        "confusion": [[0] * CLASSES] * CLASSES,
    }
    about = {"cpu": "a CPU", "cores": 2, "device": "cpu", "commit": "0123456789ab"}
    result = {"step": 12, "test": test, "validation": {}, "best": None, "config": {}}
    record = {"fingerprint": folder.record()["fingerprint"], "input_shape": [8, 8, 3]}
    folder.finish({**result, **about, **record, "seed": run.seed, "versions": {}}, outcomes)
    rows = [
        {"step": 12, "split": "train", "name": "images_per_second", "value": 1600.0, "time": 0.0}
    ]
    folder.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for asked in [suite for text in run.suites for suite in chosen(text)]:
        file = ResultFile.of(folder, asked, 12, SPLIT)
        file.write(SUITES[asked.name](consistency), complete=True)
