"""Plots of the report beside the forest plot: cost, consistency, learning curves, ranks."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from markupsafe import Markup

from cnn.ablation.analysis.ranking import RankStability
from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.analysis.study_results import SeedRun
from cnn.ablation.analysis.summary import Summary
from cnn.ablation.report.formatting import Unit, abbreviated, milliseconds, unit_of
from cnn.ablation.report.verdict_text import MARKS
from cnn.config.metric import METRICS
from cnn.pages.charts import (
    Point,
    Scale,
    band,
    line,
    pareto_front,
    plot,
    scatter,
    spanning,
    toned,
)
from cnn.pages.page import figure, heat_table, panels

NAMED = 9  # arms up to which every point of a scatter plot carries its name
POINTS = 80  # of a learning curve: more are indistinguishable in a small panel


def kind_of(analysis: Analysis, summary: Summary) -> str:
    """The verdict on an arm, or "baseline"."""
    comparison = analysis.comparisons.get((summary.arm.network, summary.arm.name))
    return comparison.verdict.kind if comparison else "baseline"


def cost_charts(analysis: Analysis, network: str) -> list[Markup]:
    """The metric against MACs and against measured step time, each with its Pareto front.

    Step times that were measured while other runs trained are left out.
    """
    charts = []
    costs = [("MACs per example", lambda s: s.arm.macs, abbreviated)]
    if not analysis.study.under_load:
        costs.append(("Time per training step", lambda s: s.arm.step_time_ms, milliseconds))
    for title, cost, words in costs:
        chart = _scatter(analysis, network, title, cost, words, words, lower_x=True)
        if chart:
            charts.append(chart)
    return charts


def metric_charts(analysis: Analysis, network: str) -> list[Markup]:
    """The metric against every one that the runs measured and that is to be plotted."""
    metric = analysis.study.metric
    runs = [
        run
        for arm in analysis.study.of_network(network)
        for run in analysis.summaries[network, arm.name].runs
    ]
    plotted = {name for name, each in METRICS.items() if each.plotted}
    names = sorted({n for run in runs for n in run.metrics} & plotted - {metric})
    charts = []
    for name in names:

        def mean(summary: Summary, name: str = name) -> float | None:
            values = [run.metrics[name] for run in summary.runs if name in run.metrics]
            return float(np.mean(values)) if values else None

        other = unit_of(name)
        chart = _scatter(
            analysis, network, other.title, mean, other.value, other.tick, lower_x=False
        )
        if chart:
            charts.append(chart)
    return charts


def _scatter(
    analysis: Analysis,
    network: str,
    title: str,
    cost: Callable[[Summary], float | None],
    words: Callable[[float], str],
    tick: Callable[[float], str],
    *,
    lower_x: bool,
) -> Markup | None:
    """A scatter plot of the arms that have runs and the cost; None for fewer than two."""
    study, unit = analysis.study, unit_of(analysis.study.metric)
    chosen = [analysis.summaries[network, arm.name] for arm in study.of_network(network)]
    chosen = [s for s in chosen if s.runs and cost(s) is not None and s.arm.name != study.aa_arm]
    if len(chosen) < 2:
        return None
    points = [_point(analysis, s, float(cost(s)), words) for s in chosen]
    front = pareto_front(points, lower_x=lower_x, higher_y=study.higher_is_better)
    if len(points) > NAMED:
        named = {id(p) for p in front}
        points = [replace(p, named=id(p) in named or p.tone == "baseline") for p in points]
    chart = scatter(
        points,
        front,
        x_format=tick,
        y_format=unit.tick,
        x_label=title,
        y_label=unit.name,
        description=f"{unit.name} against {title}; the numbers are in the table",
    )
    return figure("", chart)


def _point(
    analysis: Analysis, summary: Summary, cost: float, words: Callable[[float], str]
) -> Point:
    kind, unit = kind_of(analysis, summary), unit_of(analysis.study.metric)
    return Point(
        label=summary.arm.name,
        x=cost,
        y=summary.mean,
        low=summary.low,
        high=summary.high,
        shape=MARKS[kind].shape,
        tone=kind,
        hint=f"{summary.arm.name}: {unit.value(summary.mean)}, {words(cost)}",
    )


def curve_names(analysis: Analysis) -> list[str]:
    """The curves worth showing: the metric on validation or test, and the training loss."""
    available = dict.fromkeys(
        name for arm in analysis.study.arms for run in arm.seeds for name in run.history
    )
    metric = analysis.study.metric
    wanted = [f"validation/{metric}", f"test/{metric}", f"train/{metric}", "train/loss"]
    chosen = [name for name in wanted if name in available]
    return (chosen or list(available))[:2]


def curve_panels(analysis: Analysis, network: str, name: str) -> Markup | None:
    """A small panel for each arm: mean and standard deviation of its seeds, over the baseline's."""
    study = analysis.study
    curves = {
        arm.name: curve
        for arm in study.of_network(network)
        if (curve := mean_curve(arm.seeds, name)) is not None
    }
    # A single logged value is not a curve.
    if not any(len(steps) > 1 for steps, _, _ in curves.values()):
        return None
    metric = name.rpartition("/")[2]
    x = Scale(
        min(c[0].min() for c in curves.values()),
        max(max(c[0].max() for c in curves.values()), 1),
    )
    y = _curve_scale(list(curves.values()))
    baseline = curves.get(study.baseline)
    drawn = [
        _panel(
            arm_name,
            curve,
            baseline if arm_name != study.baseline else None,
            x,
            y,
            kind_of(analysis, analysis.summaries[network, arm_name]),
            unit_of(metric),
        )
        for arm_name, curve in curves.items()
    ]
    return panels(*drawn)


def mean_curve(
    runs: Sequence[SeedRun], name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Steps, mean and standard deviation over the seeds that logged a curve; None without any.

    A step is included if all runs that reached it logged a finite value there.
    """
    logged = [dict(run.history[name]) for run in runs if run.history.get(name)]
    if not logged:
        return None
    steps, means, deviations = [], [], []
    for step in sorted(set().union(*logged)):
        values = np.array([curve[step] for curve in logged if step in curve])
        reached = sum(max(curve) >= step for curve in logged)
        if len(values) == reached and np.isfinite(values).all():
            steps.append(step)
            means.append(values.mean())
            deviations.append(values.std(ddof=1) if len(values) > 1 else 0.0)
    if not steps:
        return None
    kept = np.unique(np.linspace(0, len(steps) - 1, min(POINTS, len(steps))).round().astype(int))
    return np.array(steps)[kept], np.array(means)[kept], np.array(deviations)[kept]


def _curve_scale(curves: list[tuple[np.ndarray, ...]]) -> Scale:
    """Excludes the first tenth of each curve, whose steep part would flatten the rest."""
    late = [slice(max(len(mean) // 10, 1 if len(mean) > 4 else 0), None) for _, mean, _ in curves]
    values = [
        v
        for (_, mean, sd), part in zip(curves, late, strict=True)
        for v in (*(mean - sd)[part], *(mean + sd)[part])
    ]
    return spanning(values, 0.05)


def _panel(
    name: str,
    curve: tuple[np.ndarray, ...],
    baseline: tuple[np.ndarray, ...] | None,
    x: Scale,
    y: Scale,
    kind: str,
    unit: Unit,
) -> Markup:
    steps, mean, sd = curve
    upper, lower = (_places(steps, mean + sign * sd, x, y) for sign in (1, -1))
    marks = [toned(kind, band(upper, lower))]
    if baseline is not None:
        reference = line(_places(baseline[0], baseline[1], x, y), "line reference")
        marks.append(toned("baseline", reference))
    marks.append(toned(kind, line(_places(steps, mean, x, y))))
    chart = plot(
        x,
        y,
        *marks,
        height=110,
        x_format=abbreviated,
        y_format=unit.tick,
        x_ticks=3,
        y_ticks=3,
        description=f"Learning curve of {name}: ends at {unit.value(float(mean[-1]))}",
    )
    return figure(name, chart, aside=unit.value(float(mean[-1])))


def _places(steps: np.ndarray, values: np.ndarray, x: Scale, y: Scale) -> list[tuple[float, float]]:
    return [(x(float(s)), 100 - y(float(v))) for s, v in zip(steps, values, strict=True)]


def rank_table(order: RankStability) -> Markup:
    """How often each arm takes each rank, in percent: the darker, the more often."""
    ranks = [str(rank + 1) for rank in range(len(order.names))]
    rows = [
        (name, [(f"{100 * p:.0f}" if p >= 0.005 else "", p) for p in shares])
        for name, shares in zip(order.names, order.ranks, strict=True)
    ]
    return heat_table(ranks, rows, corner="rank")
