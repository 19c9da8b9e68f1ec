"""Sections about committed runs and studies: README.md and docs/evaluation.md."""

import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.first_run import LEVEL, accuracy_band, committed
from benchmarks.signal_tables import table
from cnn.ablation.analysis.collect import collect
from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.atlas.pages import front
from cnn.ablation.atlas.rows import read_rows
from cnn.ablation.planning.runs import folder_name
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.report.headline import control_note
from cnn.ablation.report.markdown import escape_markdown, headlines
from cnn.evaluation.shift.section import NAMES

ROOT = Path(__file__).parents[2]
FASHION = ROOT / "results" / "atlas" / "fashion"


def first_run() -> str:
    """Returns the test accuracy and duration of `make train`, over the committed seeds."""
    results, (low, high) = committed(), accuracy_band()
    seconds = sorted(r["seconds"] for r in results)
    versions, one = results[0]["versions"], results[0]
    return (
        f"Test accuracy: {_seeds(results)};\n"
        f"a further run should fall between {low:.4f} and {high:.4f} ({100 * LEVEL:.0f} % "
        "prediction interval).\n"
        f"A run took {seconds[0]:.0f} to {seconds[-1]:.0f} seconds on {one['cores']} cores of an "
        f"{one['cpu']}\n"
        f"under other load (jax {versions['jax']}, Python {versions['python']}; "
        "[results/first_run](results/first_run))."
    )


def airbench() -> str:
    """Returns the test accuracy of `configs/airbench.py` over the committed seeds."""
    results = committed("airbench")
    one = results[0]
    where = Counter(f"{r['cpu']} (commit {r['commit']})" for r in results)
    machines = ", ".join(f"{count} on {name}" for name, count in where.items())
    return (
        f"Test accuracy: {_seeds(results)}, standard deviation "
        f"{statistics.stdev(r['test']['accuracy'] for r in results):.4f};\n"
        f"{one['step']} steps in {one['config']['model']['dtype']} on {one['cores']} cores, "
        f"jax {one['versions']['jax']}, Python {one['versions']['python']};\n"
        f"{machines} ([results/airbench](results/airbench))."
    )


def _seeds(results: list[dict[str, Any]]) -> str:
    """Returns the mean test accuracy of the runs, and that of each."""
    accuracies = [result["test"]["accuracy"] for result in results]
    listed = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
    return f"{statistics.mean(accuracies):.4f} (mean of {len(results)} seeds: {listed})"


def verdicts() -> str:
    """Returns the verdicts of a row of the atlas, and its forest plot."""
    analysis = analyze(collect(StudyFolder(FASHION)))
    study, place = analysis.study, FASHION.relative_to(ROOT)
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
        )
    )


def shift() -> str:
    """Returns the consistency of the arms of a row of the atlas under each protocol."""
    study = StudyFolder(FASHION)
    plan = study.plan()
    arms = {name: _runs_of(FASHION / folder_name(name)) for name in plan.arms}
    some = next(iter(arms.values()))[0]["shift"]
    # All shifts are measured on a few images only.
    protocols = [name for name in NAMES if name in some and name != "all_shifts"]

    def cells(runs: list[dict[str, Any]]) -> list[str]:
        found = [[run["shift"][name]["consistency"] for run in runs] for name in protocols]
        found.append([run["test"]["accuracy"] for run in runs])
        return [f"{100 * statistics.mean(f):.1f} ± {100 * statistics.stdev(f):.1f}" for f in found]

    rows = [[name, *cells(runs)] for name, runs in arms.items()]
    about = (
        f"{plan.name}: mean ± standard deviation of {len(plan.seeds)} seeds,\n"
        f"{some['circular_grid']['count']:,} test images. The last column is the accuracy without "
        "a shift, on the whole test set.\n"
        f"From the [report](../{FASHION.relative_to(ROOT)}/report.md) of the atlas."
    )
    heads = ["consistency (%)", *(NAMES[name] for name in protocols), "Accuracy"]
    return "\n\n".join((table(heads, rows), about))


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
