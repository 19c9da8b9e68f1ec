"""The suite `flips`: prediction flips relative to another run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from cnn.config.errors import UserError
from cnn.config.metric import share
from cnn.evaluation.checkpointed_run import CheckpointedRun, open_run
from cnn.evaluation.suite import MeasuredRun, Progress, Results, Suite
from cnn.pages import page
from cnn.pages.page import Cell, Column, sortable_table
from cnn.training.evaluate import Outcomes

COLUMNS = {
    "negative": ("negative flips", "other run correct, this run wrong (Yan et al., CVPR 2021)"),
    "positive": ("positive flips", "other run wrong, this run correct"),
    "disagreement": ("disagreement", "different predictions, correct or not (churn)"),
    "both_wrong": ("both wrong", "both runs wrong"),
}
NOTE = (
    "Shares of examples in percent, relative to the predictions of another run on the same "
    "examples. The difference in accuracy is positive minus negative flips; networks of equal "
    "accuracy can be correct on different examples."
)


def measure_flips(
    run: CheckpointedRun, split: str, progress: Progress, *, against: str = ""
) -> Results:
    """Compares the predictions on a split with those of the last checkpoint of another run.

    Args:
      run: the checkpoint.
      split: name of the split.
      progress: called after each run.
      against: the other run folder.

    Returns:
      The results of `prediction_flips`, "against", and "against_step", the step of the other run.

    Raises:
      UserError: the other run does not exist, or has other examples.
    """
    own = run.outcomes(split)
    progress.show(1, 2)
    changes = [f"{name}={value}" for name, value in run.changes.items() if isinstance(value, str)]
    other = open_run(against, split=split, overrides=changes)
    results = prediction_flips(other.outcomes(split), own)
    progress.show(2, 2)
    return results | {"against": against, "against_step": other.step}


def prediction_flips(before: Outcomes, after: Outcomes) -> dict[str, Any]:
    """Returns "count" and the shares of examples in `COLUMNS`.

    Args:
      before: `prediction` and `label` `[N]` of the other network.
      after: likewise of this network, in the same order.

    Raises:
      UserError: the labels differ.
    """
    if not np.array_equal(before["label"], after["label"]):
        raise UserError(
            "--suite=flips: the two runs have different test examples; compare with a run trained "
            "on the same data set and split"
        )
    right, now_right = (o["prediction"] == o["label"] for o in (before, after))
    shares = {
        "negative": right & ~now_right,
        "positive": ~right & now_right,
        "disagreement": before["prediction"] != after["prediction"],
        "both_wrong": ~right & ~now_right,
    }
    return {"count": int(right.size)} | {n: float(found.mean()) for n, found in shares.items()}


def flips_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of the runs."""
    columns = [Column("run"), Column("against"), Column("examples", numeric=True)]
    columns += [Column(label, numeric=True, hint=hint) for label, hint in COLUMNS.values()]
    rows = [
        [
            Cell(run.name),
            Cell(run.results["against"]),
            Cell(f"{run.results['count']:,}", run.results["count"]),
            *(Cell(f"{100 * run.results[name]:.2f}", run.results[name]) for name in COLUMNS),
        ]
        for run in runs
    ]
    return page.section("Prediction flips", sortable_table(columns, rows), note=NOTE)


SUITE = Suite(
    about="prediction flips relative to another run",
    measure=measure_flips,
    section=flips_section,
    needs="against",
    metrics=tuple(
        share(name, label.capitalize(), label, hint, higher_is_better=name == "positive")
        for name, (label, hint) in COLUMNS.items()
    ),
)
