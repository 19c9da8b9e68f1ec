"""The tables of the HTML report: arms, runs, effects, tuning, robustness checks, networks."""

import math

from markupsafe import Markup

from cnn.ablation.analysis.study_analysis import Analysis, Comparison
from cnn.ablation.analysis.study_results import SeedRun, Study
from cnn.ablation.analysis.summary import Summary
from cnn.ablation.report.effect_text import effect_name
from cnn.ablation.report.formatting import (
    NONE,
    Unit,
    abbreviated,
    full_name,
    milliseconds,
    p_value,
    unit_of,
)
from cnn.ablation.report.rows import mean_interval_text
from cnn.ablation.report.tuning_text import TUNING_HEADS, tuning_rows
from cnn.ablation.report.verdict_text import MARKS, split_verdict, verdict_label
from cnn.ablation.statistics.verdict import Verdict
from cnn.pages.page import Cell, Column, link, sortable_table


def arm_table(analysis: Analysis) -> Markup:
    """Verdict, difference, metric and cost, one row per arm."""
    study = analysis.study
    columns = [
        Column("Arm"),
        *([Column("Network")] if len(study.networks) > 1 else []),
        Column("Verdict"),
        Column("Difference", True, "from the baseline, with its 95 % confidence interval"),
        Column(
            "Adjusted p",
            True,
            "of the null hypothesis of no difference; Holm's adjustment over the study",
        ),
        Column(unit_of(study.metric).title, True, "mean over seeds with its 95 % interval"),
        Column("Seeds", True, "finished runs"),
        Column("Parameters", True),
        Column("MACs", True, "multiply-accumulates per example"),
        Column("Step time", True, "measured time per training step"),
    ]
    rows = [_arm_row(analysis, summary) for summary in analysis.summaries.values()]
    return sortable_table(columns, rows)


def _arm_row(analysis: Analysis, summary: Summary) -> list[Cell]:
    study, unit, arm = analysis.study, unit_of(analysis.study.metric), summary.arm
    comparison = analysis.comparisons.get((arm.network, arm.name))
    overrides = ", ".join(arm.overrides) or ("base config" if arm.name == study.baseline else "")
    network = [Cell(arm.network)] if len(study.networks) > 1 else []
    finished, planned = len(summary.runs), len(arm.seeds)
    return [
        Cell(arm.name, arm.name, small=overrides),
        *network,
        *_verdict_cells(analysis, comparison, unit),
        _mean_cell(summary, unit),
        Cell(f"{finished}" if finished == planned else f"{finished} of {planned}", finished),
        Cell(abbreviated(arm.params), arm.params),
        Cell(abbreviated(arm.macs), arm.macs),
        Cell(milliseconds(arm.step_time_ms), arm.step_time_ms),
    ]


def _mean_cell(summary: Summary, unit: Unit) -> Cell:
    if not summary.runs:
        return Cell(NONE)
    return Cell(unit.value(summary.mean), summary.mean, small=mean_interval_text(summary, unit))


def _verdict_cells(analysis: Analysis, comparison: Comparison | None, unit: Unit) -> list[Cell]:
    """Verdict, difference and adjusted p."""
    if comparison is None:
        return [_verdict_cell("baseline", "baseline"), Cell(NONE), Cell(NONE)]
    cell = _verdict_cell(comparison.verdict.kind, *split_verdict(analysis, comparison))
    return [cell, *_difference_cells(comparison.verdict, unit)]


def _difference_cells(verdict: Verdict, unit: Unit) -> list[Cell]:
    """Difference and adjusted p."""
    if not verdict.judged:
        return [Cell(NONE), Cell(NONE)]
    estimate = verdict.difference.estimate
    return [
        Cell(unit.difference(estimate), estimate, small=unit.interval(verdict.interval)),
        Cell(p_value(verdict.adjusted_p), verdict.adjusted_p),
    ]


def _verdict_cell(kind: str, label: str, rest: str = "") -> Cell:
    key = f"{list(MARKS).index(kind)} {kind}"
    return Cell(f"{MARKS[kind].symbol} {label}", key, small=rest, tone=kind)


def _name_cell(network: str, name: str) -> Cell:
    return Cell(full_name(network, name), full_name(network, name))


def run_table(analysis: Analysis) -> Markup:
    """The metric of every run, linked to its folder, or its status if it has not finished.

    The heads are the seeds of the arm with the most runs; cells of other seeds name theirs.
    """
    study, unit = analysis.study, unit_of(analysis.study.metric)
    seeds = [run.seed for run in max((arm.seeds for arm in study.arms), key=len)]
    columns = [Column("Arm"), *(Column(str(seed), True, f"seed {seed}") for seed in seeds)]
    rows = []
    for arm in study.arms:
        runs = [*arm.seeds, *[None] * (len(seeds) - len(arm.seeds))]
        cells = [
            _run_cell(run, seed, study.metric, unit) for run, seed in zip(runs, seeds, strict=True)
        ]
        rows.append([_name_cell(arm.network, arm.name), *cells])
    return sortable_table(columns, rows)


def _run_cell(run: SeedRun | None, seed: int, metric: str, unit: Unit) -> Cell:
    if run is None:
        return Cell("")
    small = f"seed {run.seed}" if run.seed != seed else ""
    if run.status == "not begun":
        return Cell(run.status, small=small)
    if run.status != "finished":
        return Cell(link(run.run_dir, run.status, run.error), small=small)
    value = run.metrics[metric]
    shown = unit.bare(value) if math.isfinite(value) else "NaN"
    return Cell(link(run.run_dir, shown), value, small=small)


def effect_table(analysis: Analysis) -> Markup:
    """Main effects and interaction of two factors."""
    unit = unit_of(analysis.study.metric)
    columns = [
        Column("Effect"),
        Column("Verdict"),
        Column("Difference", True, "with its 95 % confidence interval"),
        Column("Adjusted p", True, "Holm's adjustment over arms and effects of the study"),
    ]
    rows = [
        [
            _name_cell(effect.contrast.network, effect_name(effect)),
            _verdict_cell(effect.verdict.kind, verdict_label(effect.verdict.kind)),
            *_difference_cells(effect.verdict, unit),
        ]
        for effect in analysis.effects
    ]
    return sortable_table(columns, rows)


def tuning_table(study: Study) -> Markup:
    """The settings that every arm tried before its final runs."""
    columns = [Column(head) for head in TUNING_HEADS]
    return sortable_table(columns, [[Cell(text) for text in row] for row in tuning_rows(study)])


def check_table(analysis: Analysis) -> Markup | None:
    """The robustness checks of every judged arm; None without any."""
    unit = unit_of(analysis.study.metric)
    columns = [
        Column("Arm"),
        Column("This test set", True, "95 % confidence interval for new seeds on this test set"),
        Column("Bootstrap", True, "two-level BCa 95 % interval over seeds and examples"),
        Column("Welch p", True, "of the seeds alone, unpaired"),
        Column("Sign-flip p", True, "permutation of the paired differences"),
        Column("Dunnett p", True, "adjusted over the arms of the network"),
        Column("McNemar", True, "pairs of networks that differ at 5 %, of all pairs"),
    ]
    checked = [(key, c.checks) for key, c in analysis.comparisons.items() if c.checks is not None]
    rows = [
        [
            _name_cell(*key),
            Cell(unit.interval(checks.this_test_set), checks.this_test_set[0]),
            _interval_cell(checks.bootstrap, unit),
            *(_p_cell(p) for p in (checks.welch_p, checks.sign_flip_p, checks.dunnett_p)),
            Cell("{} of {}".format(*checks.mcnemar), checks.mcnemar[0])
            if checks.mcnemar
            else Cell(NONE),
        ]
        for key, checks in checked
    ]
    return sortable_table(columns, rows) if rows else None


def _interval_cell(ends: tuple[float, float] | None, unit: Unit) -> Cell:
    return Cell(unit.interval(ends), ends[0]) if ends else Cell(NONE)


def _p_cell(p: float | None) -> Cell:
    return Cell(NONE) if p is None else Cell(p_value(p), p)


def across_table(analysis: Analysis) -> Markup:
    """Every arm against the baseline over all networks."""
    unit, networks = unit_of(analysis.study.metric), analysis.study.networks
    columns = [
        Column("Arm"),
        Column("Interquartile mean", True, "arm minus baseline, over all networks and seeds"),
        Column(
            "P(improvement)", True, "probability that a run of the arm beats one of the baseline"
        ),
        *(Column(network, True) for network in networks),
    ]
    rows = []
    for entry in analysis.across:
        gain, *gains = entry.gain
        chance, low, high = entry.improvement
        verdicts = (analysis.comparisons[network, entry.name].verdict for network in networks)
        rows.append(
            [
                _name_cell("", entry.name),
                Cell(unit.difference(gain), gain, small=unit.interval(tuple(gains))),
                Cell(f"{chance:.2f}", chance, small=f"{low:.2f} to {high:.2f}"),
                *(_short_verdict(verdict, unit) for verdict in verdicts),
            ]
        )
    return sortable_table(columns, rows)


def _short_verdict(verdict: Verdict, unit: Unit) -> Cell:
    estimate = verdict.difference.estimate
    words = f"{MARKS[verdict.kind].symbol} {unit.difference(estimate, unit=False)}"
    return Cell(words, estimate, tone=verdict.kind)
