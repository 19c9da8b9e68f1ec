"""Sections about committed runs and studies: README.md and docs/evaluation.md."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.first_run import LEVEL, accuracy_band, committed
from benchmarks.sections.results import TO_BE_REPEATED
from benchmarks.signal_tables import table
from cnn.ablation.analysis.collect import collect
from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.atlas.pages import front
from cnn.ablation.atlas.rows import read_rows
from cnn.ablation.execution.study_folder import StudyFolder
from cnn.ablation.planning.runs import folder_name
from cnn.ablation.report.headline import control_note
from cnn.ablation.report.markdown import escape_markdown, headlines
from cnn.evaluation.shift.section import NAMES

ROOT = Path(__file__).parents[2]
POOLING = ROOT / "results" / "pooling"
SHIFT = ROOT / "results" / "shift"


def first_run() -> str:
    """Returns the test accuracy and duration of `make train`, over the committed seeds."""
    results, (low, high) = committed(), accuracy_band()
    accuracies = [r["test"]["accuracy"] for r in results]
    seconds = sorted(r["seconds"] for r in results)
    versions, one = results[0]["versions"], results[0]
    listed = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
    return (
        f"Test accuracy: {statistics.mean(accuracies):.4f} (mean of {len(results)} seeds: "
        f"{listed});\n"
        f"another run is expected between {low:.4f} and {high:.4f} ({100 * LEVEL:.0f} % prediction "
        "interval).\n"
        f"A run took {seconds[0]:.0f} to {seconds[-1]:.0f} seconds on {one['cores']} cores of an "
        f"{one['cpu']}\n"
        f"that did other work too (jax {versions['jax']}, Python {versions['python']}; "
        "[results/first_run](results/first_run))."
    )


def pooling() -> str:
    """Returns the verdicts of the study under results/pooling, and its forest plot."""
    analysis = analyze(collect(StudyFolder(POOLING)))
    study, place = analysis.study, POOLING.relative_to(ROOT)
    finished = sum(len(summary.runs) for summary in analysis.summaries.values())
    about = (
        f"{study.name}: {finished} runs on {study.hardware}, jax {study.versions['jax']}.\n"
        f"`{study.command}`"
    )
    return "\n\n".join(
        (
            headlines(analysis),
            escape_markdown(control_note(analysis)),
            f"![{study.name}: difference of each arm from the baseline]({place}/report.svg)",
            f"{about}\nproduced the [report]({place}/report.md) (download "
            f"[report.html]({place}/report.html) for curves, costs and every seed).",
            TO_BE_REPEATED,
        )
    )


def shift() -> str:
    """Returns the consistency of each arm of results/shift under each protocol, over its seeds."""
    study = StudyFolder(SHIFT)
    plan = study.plan()
    names = [name for name in plan.arms if name != plan.baseline]
    arms = {n: _runs_of(SHIFT / folder_name(n)) for n in (plan.baseline, *names)}
    some = next(iter(arms.values()))[0]

    def row(title: str, metric: Callable[[dict[str, Any]], float]) -> list[str]:
        found = [[100 * metric(run) for run in runs] for runs in arms.values()]
        return [title, *(f"{statistics.mean(f):.2f} ± {statistics.stdev(f):.2f}" for f in found)]

    rows = [
        row(title, lambda run, name=name: run["shift"][name]["consistency"])
        for name, title in NAMES.items()
        if name in some["shift"]
    ]
    rows.append(row("Accuracy, no shift", lambda run: run["test"]["accuracy"]))
    count, shifted = (some["shift"][n]["count"] for n in ("circular_grid", "all_shifts"))
    seeds = len(next(iter(arms.values())))
    about = (
        f"{plan.name}: mean ± standard deviation of {seeds} seeds,\n{count:,} test images "
        f"({shifted} for all shifts).\n`{study.command()}`\nproduced the "
        "[report](../results/shift/report.md), whose metric is the consistency."
    )
    return "\n\n".join((table(["consistency (%)", *arms], rows), about, TO_BE_REPEATED))


def _runs_of(arm: Path) -> list[dict[str, Any]]:
    """Reads the test metrics and the shift suite of every seed of an arm."""
    return [
        {
            "test": json.loads((seed / "result.json").read_text())["test"],
            "shift": json.loads(next(seed.glob("evaluation/shift/*.json")).read_text())["results"],
        }
        for seed in sorted(arm.glob("seed-*"))
    ]


def atlas() -> str:
    """Returns what the atlas says, in five lines at most."""
    text = front(read_rows(ROOT / "results" / "atlas" / "atlas.json"))
    return f"{text}\n\nEvery operator, task and claim: the [atlas](docs/atlas.md)."
