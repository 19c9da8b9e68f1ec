"""Every arm's difference from the baseline, with its intervals and all its seeds."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.analysis.summary import Summary
from cnn.ablation.report.formatting import NONE, Unit, p_value, unit_of
from cnn.ablation.report.verdict_text import MARKS, verdict_label, verdict_words
from cnn.pages.charts import Scale, dot, labelled, mark, rule, spanning

HEIGHT = 34


@dataclass(frozen=True)
class ForestRow:
    """One arm of a forest plot, in words and marks.

    Attributes:
      name: of the arm.
      is_control: whether it is the A/A arm.
      kind: of its verdict, or "baseline".
      symbol: of the kind.
      verdict: label of the kind.
      words: the verdict in a few words.
      number: the difference from the baseline, or the baseline's value.
      hint: the interval and the p-value; "" without.
      marks: its seeds, intervals and estimate, at positions in percent.
    """

    name: str
    is_control: bool
    kind: str
    symbol: str
    verdict: str
    words: str
    number: str
    hint: str
    marks: list[Markup]


@dataclass(frozen=True)
class Forest:
    """A forest plot: one row per arm, the best first, on one axis; positions are in percent.

    Attributes:
      rows: of the arms.
      height: of a row, in pixels.
      ticks: position and label.
      label: of the axis.
      zero: position of no difference.
      margin, width: position and width of the band of equivalence.
    """

    rows: list[ForestRow]
    height: int
    ticks: list[tuple[float, str]]
    label: str
    zero: float
    margin: float
    width: float


def forest(analysis: Analysis, network: str) -> Forest:
    """The forest plot of a network; outliers are drawn at the edge."""
    study, unit = analysis.study, unit_of(analysis.study.metric)
    arms, baseline = ranked(analysis, network)
    x, margin = axis(analysis, arms, baseline), study.margin
    in_unit = f" in {unit.of_differences}" if unit.of_differences else ""

    def label(value: float) -> str:
        return unit.difference(value, unit=False) if value else "0"

    return Forest(
        rows=[_row(analysis, summary, baseline, x, unit) for summary in arms],
        height=HEIGHT,
        ticks=labelled(x, label, 5),
        label=f"{unit.name}, difference from {study.baseline}{in_unit}",
        zero=x(0),
        margin=x(-margin),
        width=x(margin) - x(-margin),
    )


def ranked(analysis: Analysis, network: str) -> tuple[list[Summary], Summary]:
    """Returns the arms of a network, the best first, and the baseline among them."""
    study = analysis.study
    sign = 1 if study.higher_is_better else -1
    arms = [analysis.summaries[network, arm.name] for arm in study.of_network(network)]
    arms.sort(key=lambda s: -sign * s.mean if s.runs else math.inf)
    return arms, analysis.summaries[network, study.baseline]


def axis(analysis: Analysis, arms: list[Summary], baseline: Summary) -> Scale:
    """A scale for all arms except outliers that would squeeze the others together."""
    margin = analysis.study.margin
    reach = [_extent(analysis, summary, baseline) for summary in arms if summary.runs]
    typical = sorted(max(abs(low), abs(high)) for low, high in reach)
    limit = max(4 * typical[len(typical) // 2], 4 * margin) if typical else margin
    kept = [ends for ends in reach if max(abs(ends[0]), abs(ends[1])) <= limit]
    values = [value for ends in kept for value in ends]
    return spanning([*values, -margin, margin], 0.04)


def _extent(analysis: Analysis, summary: Summary, baseline: Summary) -> tuple[float, float]:
    dots = summary.values - baseline.mean if baseline.runs else summary.values * 0
    comparison = analysis.comparisons.get((summary.arm.network, summary.arm.name))
    ends = list(comparison.verdict.family_interval) if comparison else []
    finite = [v for v in (*dots, *ends) if math.isfinite(v)] or [0.0]
    return min(finite), max(finite)


def _row(
    analysis: Analysis, summary: Summary, baseline: Summary, x: Scale, unit: Unit
) -> ForestRow:
    arm = summary.arm
    comparison = analysis.comparisons.get((arm.network, arm.name))
    kind, number, words, hint = "baseline", unit.value(summary.mean), "baseline", ""
    if comparison is not None:
        verdict, number = comparison.verdict, NONE
        kind, words = verdict.kind, verdict_words(analysis, comparison)
        if verdict.judged:
            number = unit.difference(verdict.difference.estimate)
            hint = f"{unit.interval(verdict.interval)}, adjusted p {p_value(verdict.adjusted_p)}"
    return ForestRow(
        name=arm.name,
        is_control=arm.name == analysis.study.aa_arm,
        kind=kind,
        symbol=MARKS[kind].symbol,
        verdict=verdict_label(kind),
        words=words,
        number=number,
        hint=hint,
        marks=_marks(analysis, summary, baseline, x, unit),
    )


def _marks(
    analysis: Analysis, summary: Summary, baseline: Summary, x: Scale, unit: Unit
) -> list[Markup]:
    """Draws an arm's seeds, intervals and estimate, at places in percent and 36 % from the top."""
    comparison = analysis.comparisons.get((summary.arm.network, summary.arm.name))
    drawn = []
    if baseline.runs:
        for run, value in zip(summary.runs, summary.values, strict=True):
            # At the edge if it lies beyond the axis.
            place = min(max(x(value - baseline.mean), 0), 100)
            drawn.append(dot(run.run_dir, place, 76, f"seed {run.seed}: {unit.value(value)}"))
    if comparison is None:
        return [*drawn, mark(MARKS["baseline"].shape, x(0), 36, "baseline")]
    verdict = comparison.verdict
    if not verdict.judged:
        return drawn
    estimate = x(verdict.difference.estimate)
    if not 0 <= estimate <= 100:
        arrow, edge = ("left", 0.5) if estimate < 0 else ("right", 99.5)
        return [*drawn, mark(arrow, edge, 36, verdict.kind, "beyond the axis")]
    for ends, class_ in ((verdict.family_interval, "whisker"), (verdict.interval, "span")):
        low, high = (min(max(x(end), 0), 100) if math.isfinite(end) else None for end in ends)
        low, high = (0 if low is None else low), (100 if high is None else high)
        drawn.append(rule(low, 36, high, 36, class_))
    return [*drawn, mark(MARKS[verdict.kind].shape, estimate, 36, verdict.kind)]
