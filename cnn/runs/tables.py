"""Runs as tables: one row per run, or one row per value that differs."""

from collections.abc import Sequence
from typing import Any

from cnn.config.metric import METRICS
from cnn.config.record import FREE_FIELDS
from cnn.runs.summary import RunSummary

Row = dict[str, Any]
PROVENANCE = ("seconds", "commit", "device", "cpu")


def list_rows(runs: Sequence[RunSummary], fields: Sequence[str] = ()) -> list[Row]:
    """Returns one row per run: path, network, progress and accuracy.

    Args:
      runs: to be listed.
      fields: more config fields to show, by dotted names.
    """
    resolved = [run.resolved() if fields else {} for run in runs]
    return [
        {
            "run": str(run.path),
            "network": run.fields["model.name"],
            "data": run.fields["data.name"] or run.fields["data.path"],
            "seed": run.fields["seed"],
            "state": run.state,
            "validation": _shown("accuracy", run.validation.get("accuracy")),
            "test": _shown("accuracy", run.test.get("accuracy")),
            "seconds": run.result.get("seconds"),
        }
        | {name: values[name] for name in fields}
        for run, values in zip(runs, resolved, strict=True)
    ]


def difference_rows(runs: Sequence[RunSummary]) -> list[Row]:
    """Returns one row per config field, metric or version that differs, with a column per run.

    Fields that never change what is computed are marked with "*".
    """
    sides = [run.resolved() | _outcome(run) for run in runs]
    rows = []
    for name in dict.fromkeys(name for side in sides for name in side):
        values = [side.get(name) for side in sides]
        if any(value != values[0] for value in values):
            paths = (str(run.path) for run in runs)
            mark = "*" if name in FREE_FIELDS else ""
            rows.append({"": name + mark} | dict(zip(paths, values, strict=True)))
    return rows


def show_rows(run: RunSummary) -> list[Row]:
    """Returns a run's non-default fields, progress, metrics and provenance."""
    shown = {"fingerprint": run.fingerprint} | run.changed() | _outcome(run)
    return [{"": name, str(run.path): value} for name, value in shown.items()]


def _outcome(run: RunSummary) -> dict[str, Any]:
    splits = {"validation": run.validation, "test": run.test}
    metrics = {
        f"{split} {name}": _shown(name, value)
        for split, found in splits.items()
        for name, value in found.items()
    }
    made_with = {name: run.result[name] for name in PROVENANCE if name in run.result}
    return {"state": run.state} | metrics | made_with | run.result.get("versions", {})


def _shown(name: str, value: float | None) -> str | None:
    """Returns a metric in its display unit."""
    if value is None or name not in METRICS:
        return None if value is None else f"{value:.4g}"
    metric = METRICS[name]
    return f"{value * metric.scale:.4g} {metric.unit}".strip()
