"""Hyperparameters of each arm, chosen on the validation split before the final runs.

Every arm has the same budget: the same combinations, each with the same number of seeds, which are
separate from those of the final runs (Dodge et al. 2019, "Show your work"; Bouthillier et al. 2021,
"Accounting for variance in machine learning benchmarks").
"""

import json
from itertools import chain
from typing import Any

import numpy as np

from cnn.ablation.planning.runs import Run, tuning_runs
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.config.atomic import write_atomically
from cnn.config.errors import UserError
from cnn.config.metric import METRICS
from cnn.training.run_folder import RunFolder


def choose_settings(folder: StudyFolder) -> None:
    """Records the best setting of every arm, once all tuning runs have ended.

    A combination with a diverged seed is not chosen. Ties go to the first.

    Raises:
      UserError: a run has crashed, so that its arm has tried less than the others; or every setting
        of an arm has diverged.
    """
    plan = folder.plan()
    runs = tuning_runs(plan, folder.path)
    for run in chain.from_iterable(chain.from_iterable(runs.values())):
        failure = RunFolder(run.folder).failure()
        if failure and not failure.get("diverged"):
            raise UserError(
                f"tune: {run.folder} has crashed: {failure['error']}; the same command trains it "
                "again, and then chooses; if it crashes again, take its value out of tune"
            )
    found = {name: _best(plan, name, tried) for name, tried in runs.items()}
    write_atomically(folder.tuning_file, json.dumps(found, indent=2) + "\n")


def _best(plan: StudyPlan, name: str, tried: list[list[Run]]) -> dict[str, Any]:
    values = [[_validation(run, plan.validated) for run in runs] for runs in tried]
    means = np.array([np.mean(each) if np.isfinite(each).all() else np.nan for each in values])
    if np.isnan(means).all():
        raise UserError(
            f"tune: nothing that arm '{name}' tried has trained: {_why(tried[0][0])}; "
            "change the values in the study file, and choose another folder"
        )
    sign = 1 if METRICS[plan.validated].higher_is_better else -1
    return {
        "chosen": list(plan.settings[int(np.nanargmax(sign * means))]),
        "tried": [
            {"overrides": list(setting), "values": [v if np.isfinite(v) else None for v in each]}
            for setting, each in zip(plan.settings, values, strict=True)
        ],
    }


def _validation(run: Run, metric: str) -> float:
    """The validation metric after the last step; NaN for a failed run."""
    folder = RunFolder(run.folder)
    result = folder.result()
    if result is None or folder.failure():
        return float("nan")
    return float(result["validation"].get(metric, float("nan")))


def _why(run: Run) -> str:
    failure = RunFolder(run.folder).failure()
    return failure["error"] if failure else "no finite metric"
