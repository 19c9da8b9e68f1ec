"""The figures of a split, as a table for people and one JSON line for programs."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.training.metrics import summarize
from cnn.training.run_folder import write_atomically


def accuracy(run: CheckpointedRun, split: str) -> dict[str, Any]:
    """Evaluates a checkpoint on a split: what `metrics.summarize` returns, and what it is of."""
    figures = summarize(run.outcomes(split), run.evaluator.dataset.class_names)
    return {"workdir": str(run.folder.path), "step": run.step, "split": split} | figures


def print_figures(figures: dict[str, Any], out: str | None = None) -> None:
    """Prints a table and, as the last line, one JSON object; writes the object to `out` too."""
    table = Table(title=f"{figures['split']} split, step {figures['step']}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name in ("count", "accuracy", "top5_accuracy", "loss"):
        if name in figures:
            value = figures[name]
            table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
    table.add_section()
    for name, value in figures["accuracy_per_class"].items():
        table.add_row(name, "no example" if value is None else f"{value:.4f}")
    Console().print(table)
    line = json.dumps(figures)
    if out:
        write_atomically(Path(out), line + "\n")
    print(line)
