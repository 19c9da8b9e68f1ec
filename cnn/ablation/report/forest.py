"""Every arm's difference from the baseline, with its intervals and all its seeds."""

import math

from cnn.ablation.analysis.study_analysis import Analysis, Summary
from cnn.ablation.analysis.study_results import SeedRun
from cnn.ablation.report.words import NONE, SYMBOLS, Unit, p_value, unit_of, verdict_words
from cnn.pages.charts import Scale, mark, rule, spanning, svg
from cnn.pages.page import Html, breakable, element, link

SHAPES = {
    "better": "up",
    "worse": "down",
    "equivalent": "square",
    "undecided": "disc",
    "unranked": "disc",
    "baseline": "diamond",
}
HEIGHT = 34


def forest(analysis: Analysis, network: str) -> Html:
    """One row an arm of the network, the largest difference first, on one axis."""
    study, unit = analysis.study, unit_of(analysis.study.metric)
    arms, baseline = ranked(analysis, network)
    x = axis(analysis, arms, baseline)
    rows = [_row(analysis, summary, baseline, x, unit) for summary in arms]
    ticks = [
        element("span", unit.difference(v, unit=False) if v else "0", style=f"left:{x(v)}%")
        for v in x.ticks(5)
    ]
    label = axis_label(analysis)
    foot = element(
        "div",
        element("div", *ticks, class_="ticks across"),
        element("div", label, class_="axis"),
        class_="forest-foot",
    )
    margin = study.margin
    places = f"--zero:{x(0)}%;--margin:{x(-margin)}%;--width:{x(margin) - x(-margin):.2f}%"
    return element("figure", element("div", *rows, foot, class_="forest", style=places))


def ranked(analysis: Analysis, network: str) -> tuple[list[Summary], Summary]:
    """Returns the arms of a network, the best first, and the baseline among them."""
    study = analysis.study
    sign = 1 if study.higher_is_better else -1
    arms = [analysis.summaries[network, arm.name] for arm in study.of_network(network)]
    arms.sort(key=lambda s: -sign * s.mean if s.runs else math.inf)
    return arms, analysis.summaries[network, study.baseline]


def axis_label(analysis: Analysis) -> str:
    """Says what the axis shows."""
    study = analysis.study
    in_points = " in pp" if unit_of(study.metric).percent else ""
    return f"{study.metric}, difference from {study.baseline}{in_points}"


def axis(analysis: Analysis, arms: list[Summary], baseline: Summary) -> Scale:
    """A scale for all arms but those so far off that the others would become a point."""
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


def said_of(analysis: Analysis, summary: Summary) -> tuple[str, str, str]:
    """Returns an arm's kind of verdict, its difference (or the baseline's value), and the words."""
    arm, unit = summary.arm, unit_of(analysis.study.metric)
    comparison = analysis.comparisons.get((arm.network, arm.name))
    if comparison is None:
        return "baseline", unit.value(summary.mean), "the baseline"
    verdict = comparison.verdict
    known = verdict.difference and verdict.kind != "unranked"
    figure = unit.difference(verdict.difference.estimate) if known else NONE
    return verdict.kind, figure, verdict_words(analysis, comparison)


def _row(analysis: Analysis, summary: Summary, baseline: Summary, x: Scale, unit: Unit) -> Html:
    arm, study = summary.arm, analysis.study
    comparison = analysis.comparisons.get((arm.network, arm.name))
    kind, figure, words = said_of(analysis, summary)
    name = element("span", breakable(arm.name), class_="forest-name")
    if arm.name == study.aa_arm:
        name = element("span", breakable(arm.name), element("small", " A/A"), class_="forest-name")
    said = element(
        "span", element("span", f"{SYMBOLS[kind]} ", class_="symbol"), words, class_="forest-words"
    )
    hint = None
    if figure != NONE and comparison:
        level = "adjusted p " + p_value(comparison.verdict.adjusted_p)
        hint = f"{unit.interval(comparison.verdict.interval)}, {level}"
    chart = svg(HEIGHT, *marks(analysis, summary, baseline, x, unit), label=None)
    return element(
        "div",
        name,
        element("div", chart, class_="forest-chart"),
        element("span", figure, class_="forest-figure", title=hint),
        said,
        class_=f"forest-row {kind}",
    )


def marks(
    analysis: Analysis, summary: Summary, baseline: Summary, x: Scale, unit: Unit
) -> list[Html]:
    """Draws an arm's seeds, intervals and estimate, at places in percent and 36 % from the top."""
    comparison = analysis.comparisons.get((summary.arm.network, summary.arm.name))
    drawn = []
    if baseline.runs:
        drawn += [_dot(run, baseline.mean, x, unit, analysis.study.metric) for run in summary.runs]
    if comparison is None:
        return [*drawn, mark(SHAPES["baseline"], x(0), 36, "baseline")]
    verdict = comparison.verdict
    if verdict.kind == "unranked":
        return drawn
    estimate = x(verdict.difference.estimate)
    if not 0 <= estimate <= 100:
        arrow, edge = ("left", 0.5) if estimate < 0 else ("right", 99.5)
        return [*drawn, mark(arrow, edge, 36, verdict.kind, "beyond the axis")]
    for ends, class_ in ((verdict.family_interval, "whisker"), (verdict.interval, "span")):
        low, high = (min(max(x(end), 0), 100) if math.isfinite(end) else None for end in ends)
        low, high = (0 if low is None else low), (100 if high is None else high)
        drawn.append(rule(low, 36, high, 36, class_))
    return [*drawn, mark(SHAPES[verdict.kind], estimate, 36, verdict.kind)]


def _dot(run: SeedRun, centre: float, x: Scale, unit: Unit, metric: str) -> Html:
    """A seed, linked to its run folder; at the edge if it lies beyond the axis."""
    value = run.metrics[metric]
    place = min(max(x(value - centre), 0), 100)
    title = element("title", f"seed {run.seed}: {unit.value(value)}")
    dot = element("circle", title, cx=f"{place}%", cy="76%", r=2.6, class_="dot")
    return link(run.run_dir, dot, tabindex="-1")
