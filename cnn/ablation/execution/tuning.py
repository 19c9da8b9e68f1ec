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
    """Records the best setting of every arm, if all tuning runs have ended.

    A combination with a diverged seed is not chosen. Ties go to the first.

    Raises:
      UserError: a run has crashed, so that its arm has tried less than the others; or every setting
        of an arm has diverged.
    """
    plan = folder.plan()
    tried = tuning_runs(plan, folder.path)
    values = {
        name: [[_validation(run, plan.validated) for run in runs] for runs in settings]
        for name, settings in tried.items()
    }
    # Another task may have opened a failed run again, since it was seen to have ended.
    if None in chain.from_iterable(chain.from_iterable(values.values())):
        return
    found = {name: _best(plan, name, values[name], tried[name][0][0]) for name in tried}
    write_atomically(folder.tuning_file, json.dumps(found, indent=2) + "\n")


def _best(plan: StudyPlan, name: str, values: list[list[float]], first: Run) -> dict[str, Any]:
    means = np.array([np.mean(each) if np.isfinite(each).all() else np.nan for each in values])
    if np.isnan(means).all():
        raise UserError(
            f"tune: nothing that arm '{name}' tried has trained: {_why(first)}; "
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


def _validation(run: Run, metric: str) -> float | None:
    """The validation metric after the last step; NaN if the run diverged, None if it is open."""
    folder = RunFolder(run.folder)
    if failure := folder.failure():
        if failure.get("diverged"):
            return float("nan")
        raise UserError(
            f"tune: {run.folder} has crashed: {failure['error']}; the same command trains it "
            "again, and then chooses; if it crashes again, take its value out of tune"
        )
    result = folder.result()
    return None if result is None else float(result["validation"].get(metric, float("nan")))


def _why(run: Run) -> str:
    failure = RunFolder(run.folder).failure()
    return failure["error"] if failure else "no finite metric"
