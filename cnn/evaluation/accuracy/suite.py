"""The suite `accuracy`: the metrics of training, on any split."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnn.config.metric import ACCURACY, LOSS, TOP5_ACCURACY
from cnn.evaluation.accuracy.section import accuracy_section
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.suite import Progress, Results, Suite
from cnn.training.metrics import summarize


def measure_accuracy(run: CheckpointedRun, split: str, progress: Progress) -> Results:
    """Evaluates a checkpoint on every example of a split exactly once; see `metrics.summarize`.

    On the machine of the run, the last checkpoint reproduces the final metrics of training exactly
    (docs/reliability.md, Determinism).
    """
    return summarize(run.outcomes(split), run.evaluator.dataset.class_names)


def print_accuracy(results: dict[str, Any]) -> None:
    """Prints the results of `measure_accuracy` as a table."""
    table = Table(title=f"{results['split']} split, step {results['step']}")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name in ("count", "accuracy", "top5_accuracy", "loss"):
        if name in results:
            value = results[name]
            table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
    table.add_section()
    for name, value in results["accuracy_per_class"].items():
        # Without markup: names may contain brackets.
        table.add_row(Text(name), "no example" if value is None else f"{value:.4f}")
    Console().print(table)


SUITE = Suite(
    about="loss, accuracy, per-class accuracy, confusion matrix",
    measure=measure_accuracy,
    section=accuracy_section,
    metrics=(ACCURACY, TOP5_ACCURACY, LOSS),
)
