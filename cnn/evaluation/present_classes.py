"""The suite `present_classes`: accuracy restricted to the classes of a test set."""

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
    "Accuracy in percent on test sets with some of the network's classes, such as ImageNet-A and "
    "ImageNet-R with 200 of 1000. Restricted: the prediction is the most probable of the present "
    "classes, as in the authors' code (Hendrycks et al., 2021). Unrestricted: the most probable of "
    "all classes."
)


def measure_present_classes(run: CheckpointedRun, split: str, progress: Progress) -> Results:
    """Measures accuracy with predictions restricted to the classes that occur in the split.

    Meant for test sets that hold only some of the network's classes; see `--config.data.path`.

    Returns:
      {"count", "classes": number of classes of the network, "present": of the split,
      "restricted_accuracy", "accuracy"}.
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
    """Returns the results for logits `[N, K]` and labels `[N]`."""
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
    """Returns a table of the runs."""
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
    about="accuracy restricted to the classes of the test set",
    measure=measure_present_classes,
    section=present_classes_section,
    metrics=(
        share(
            "restricted_accuracy",
            "Accuracy among present classes",
            "restricted",
            "predictions are restricted to the classes that occur in the split",
        ),
    ),
)
