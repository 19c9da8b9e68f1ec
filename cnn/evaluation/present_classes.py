"""The suite `present_classes`: accuracy among the classes that a test set has."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from cnn.config.metric import share
from cnn.evaluation.calibration.suite import logits_of
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import model_under_test
from cnn.evaluation.suite import MeasuredRun, Progress, Results, Suite
from cnn.pages import page
from cnn.pages.page import Cell, Column, sortable_table

NOTE = (
    "Accuracy in percent on test sets that hold some of the network's classes, such as ImageNet-A "
    "and ImageNet-R with 200 of 1000: restricted, the most probable of the classes that are there "
    "is the prediction, as in the code of their authors (Hendrycks et al., 2021); unrestricted, of "
    "all."
)


def measure_present_classes(run: CheckpointedRun, split: str, progress: Progress) -> Results:
    """Measures accuracy where only classes of which the split has examples can be predicted.

    For other test sets of some of the network's classes, see `--config.data.path`.

    Returns:
      {"count", "classes" of the network, "present" classes, "restricted_accuracy", "accuracy"}.
    """
    part = run.split(split)
    model = model_under_test(run, part, run.evaluator.config.evaluation.views)
    logits, labels = [], []
    for seen, rows, own in logits_of(model):
        logits.append(rows)
        labels.append(own)
        progress.show(seen, len(part))
    return restricted(np.concatenate(logits), np.concatenate(labels))


def restricted(logits: np.ndarray, labels: np.ndarray) -> Results:
    """Returns the results of logits `[N, K]` and labels `[N]`."""
    present = np.unique(labels)
    prediction = present[logits[:, present].argmax(1)]
    return {
        "count": len(labels),
        "classes": logits.shape[1],
        "present": len(present),
        "restricted_accuracy": float((prediction == labels).mean()),
        "accuracy": float((logits.argmax(1) == labels).mean()),
    }


def present_classes_section(runs: Sequence[MeasuredRun]) -> Markup:
    """A table of the runs."""
    labels = ("examples", "classes", "present", "restricted", "unrestricted")
    columns = [Column("run"), *(Column(label, numeric=True) for label in labels)]
    rows = []
    for run in runs:
        cells = [Cell(f"{run.results[n]:,}", run.results[n]) for n in ("count", "classes")]
        cells.append(Cell(f"{run.results['present']:,}", run.results["present"]))
        shares = (run.results[name] for name in ("restricted_accuracy", "accuracy"))
        rows.append([Cell(run.name), *cells, *(Cell(f"{100 * s:.2f}", s) for s in shares)])
    return page.section("Classes that are present", sortable_table(columns, rows), note=NOTE)


SUITE = Suite(
    about="accuracy among the classes that the test set has",
    measure=measure_present_classes,
    section=present_classes_section,
    metrics=(
        share(
            "restricted_accuracy",
            "Accuracy among present classes",
            "restricted",
            "only classes with examples in the split can be predicted",
        ),
    ),
)
