"""report.csv: one row per arm, numbers to six significant digits, for other programs."""

import csv
import io
import math
from typing import Any

from cnn.ablation.analysis.effects import Effect
from cnn.ablation.analysis.study_analysis import Analysis, Comparison
from cnn.ablation.analysis.summary import Summary
from cnn.ablation.report.effect_text import effect_name
from cnn.ablation.statistics.verdict import Verdict
from cnn.pages.page import portable

HEADS = (
    "study",
    "network",
    "arm",
    "overrides",
    "copy_of",
    "control",
    "verdict",
    "difference",
    "low",
    "high",
    "p",
    "adjusted_p",
    "equivalence_p",
    "family_low",
    "family_high",
    "corrected",
    "seeds_wanted",
    "examples_wanted",
    "mean",
    "mean_low",
    "mean_high",
    "finished",
    "diverged",
    "crashed",
    "planned",
    "stopped",
    "params",
    "macs",
    "step_time_ms",
    "partial",
    "in_doubt",
    "population",
    "runs",
)


def render_csv(analysis: Analysis) -> str:
    """Returns comma-separated values in the metric's own units; unknown numbers are empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADS)
    for row in table_rows(analysis):
        writer.writerow([_cell(row[head]) for head in HEADS])
    return out.getvalue()


def table_rows(analysis: Analysis) -> list[dict[str, Any]]:
    """Returns a row per arm and per effect of factors, by the names of `HEADS`.

    None where a number is unknown.
    """
    arms = [
        _row(analysis, summary, analysis.comparisons.get(key))
        for key, summary in analysis.summaries.items()
    ]
    return arms + [_effect_row(analysis, effect) for effect in analysis.effects]


def _effect_row(analysis: Analysis, effect: Effect) -> dict:
    row = dict.fromkeys(HEADS) | {
        "study": analysis.study.name,
        "network": effect.contrast.network,
        "arm": effect_name(effect),
        "control": False,
        "verdict": effect.verdict.kind,
        "partial": analysis.study.unfinished > 0,
        "in_doubt": bool(analysis.doubtful),
        "population": analysis.population,
    }
    return row | _numbers(effect.verdict)


def _row(analysis: Analysis, summary: Summary, comparison: Comparison | None) -> dict:
    arm, study = summary.arm, analysis.study
    row = dict.fromkeys(HEADS) | {
        "study": study.name,
        "network": arm.network,
        "arm": arm.name,
        "overrides": " ".join(arm.overrides),
        "copy_of": arm.copy_of,
        "control": arm.name == study.aa_arm,
        "verdict": comparison.verdict.kind if comparison else "baseline",
        "mean": summary.mean,
        "mean_low": summary.low,
        "mean_high": summary.high,
        "finished": len(summary.runs),
        "diverged": len(summary.diverged),
        "crashed": len(summary.crashed),
        "planned": len(arm.seeds),
        "stopped": None if arm.stopped is None else arm.stopped + 1,
        "params": arm.params,
        "macs": arm.macs,
        "step_time_ms": arm.step_time_ms,
        "partial": study.unfinished > 0,
        "in_doubt": bool(analysis.doubtful),
        "population": analysis.population,
        "runs": " ".join(run.run_dir for run in arm.seeds),
    }
    return row | (_numbers(comparison.verdict) if comparison else {})


def _numbers(verdict: Verdict) -> dict[str, Any]:
    """The statistics of a verdict; {} without one."""
    if not verdict.judged:
        return {}
    return {
        "difference": verdict.difference.estimate,
        "low": verdict.interval[0],
        "high": verdict.interval[1],
        "p": verdict.p,
        "adjusted_p": verdict.adjusted_p,
        "equivalence_p": verdict.equivalence_p,
        "family_low": verdict.family_interval[0],
        "family_high": verdict.family_interval[1],
        "corrected": verdict.corrected,
        "seeds_wanted": verdict.seeds_wanted,
        "examples_wanted": verdict.examples_wanted,
    }


def _cell(value: str | float | bool | None) -> str | float:
    """Text that a spreadsheet would run as a formula is prefixed with an apostrophe."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}" if value[:1] in tuple("=+-@\t\r\n") and value else value
    if value is None or not math.isfinite(value):
        return ""
    return portable(value) if isinstance(value, float) else value
