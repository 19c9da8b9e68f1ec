"""The table of arms, as text: what Markdown and the terminal share."""

import math
from dataclasses import dataclass

from cnn.ablation.analysis.study_analysis import Analysis, Comparison
from cnn.ablation.analysis.summary import Summary
from cnn.ablation.report.formatting import (
    NONE,
    Unit,
    abbreviated,
    full_name,
    milliseconds,
    p_value,
    unit_of,
)
from cnn.ablation.report.verdict_text import verdict_words

HEADS = (
    "Arm",
    "Overrides",
    "Verdict",
    "Difference",
    "Simultaneous",
    "Adjusted p",
    "Mean",
    "95 % interval",
    "Seeds",
    "Parameters",
    "MACs",
    "Step time",
    "Differs in",
)


@dataclass(frozen=True)
class ArmRow:
    """One arm, its numbers in words; the cells come in the order of `HEADS`."""

    name: str
    overrides: str
    verdict: str
    difference: str
    simultaneous: str
    adjusted_p: str
    mean: str
    interval: str
    seeds: str
    params: str
    macs: str
    step: str
    differs: str

    def cells(self) -> list[str]:
        """The cells in the order of `HEADS`."""
        return list(vars(self).values())


def arm_rows(analysis: Analysis) -> list[ArmRow]:
    """The rows of all arms, in the order of the study."""
    return [
        _row(analysis, summary, analysis.comparisons.get(key))
        for key, summary in analysis.summaries.items()
    ]


def mean_interval_text(summary: Summary, unit: Unit) -> str:
    """The 95 % interval of a mean, or why there is none; "" with fewer than two runs."""
    if len(summary.runs) < 2:
        return ""
    if math.isnan(summary.low):
        return "n/a (all seeds equal)"
    return f"{unit.bare(summary.low)} to {unit.bare(summary.high)}"


def _row(analysis: Analysis, summary: Summary, comparison: Comparison | None) -> ArmRow:
    unit, arm = unit_of(analysis.study.metric), summary.arm
    ranked = comparison is not None and comparison.verdict.judged
    verdict = comparison.verdict if ranked else None
    return ArmRow(
        name=full_name(arm.network, arm.name),
        overrides=" ".join(arm.overrides),
        verdict=verdict_words(analysis, comparison) if comparison else "baseline",
        difference=(
            f"{unit.difference(verdict.difference.estimate)} ({unit.interval(verdict.interval)})"
            if ranked
            else NONE
        ),
        simultaneous=unit.interval(verdict.family_interval) if ranked else NONE,
        adjusted_p=p_value(verdict.adjusted_p) if ranked else NONE,
        mean=unit.value(summary.mean) if summary.runs else NONE,
        interval=mean_interval_text(summary, unit) or NONE,
        seeds=f"{len(summary.runs)}/{len(arm.seeds)}",
        params=abbreviated(arm.params),
        macs=abbreviated(arm.macs),
        step=milliseconds(arm.step_time_ms),
        differs=", ".join(arm.differs) or NONE,
    )
