"""The tables of the report: arms, runs, networks, other methods."""

import math

from cnn.ablation.analysis.study_analysis import Analysis, Comparison, Summary
from cnn.ablation.analysis.study_results import SeedRun
from cnn.ablation.report.words import (
    NONE,
    SYMBOLS,
    Unit,
    count,
    full_name,
    milliseconds,
    p_value,
    split_verdict,
    unit_of,
)
from cnn.pages.page import Cell, Column, Html, breakable, element, join, link, sortable_table

ORDER = ("better", "baseline", "equivalent", "undecided", "worse", "unranked")


def arm_table(analysis: Analysis) -> Html:
    """Everything that the issue of a study is about, one row an arm."""
    study = analysis.study
    columns = [
        Column("Arm"),
        *([Column("Network")] if len(study.networks) > 1 else []),
        Column("Verdict"),
        Column("Difference", True, "from the baseline, with the 95 % interval of this arm alone"),
        Column("Adjusted p", True, "of no difference; Holm, over all comparisons of the study"),
        Column(study.metric.capitalize(), True, "mean over seeds with Student's 95 % interval"),
        Column("Seeds", True, "finished runs that count"),
        Column("Parameters", True),
        Column("MACs", True, "multiply-accumulates for one example"),
        Column("Step", True, "measured time of one training step"),
    ]
    rows = [_arm_row(analysis, summary) for summary in analysis.summaries.values()]
    return sortable_table(columns, rows)


def _arm_row(analysis: Analysis, summary: Summary) -> list[Cell]:
    study, unit, arm = analysis.study, unit_of(analysis.study.metric), summary.arm
    comparison = analysis.comparisons.get((arm.network, arm.name))
    note = ", ".join(arm.overrides) or ("base config" if arm.name == study.baseline else "")
    name = join(
        [breakable(arm.name), element("span", breakable(note), class_="sub") if note else None]
    )
    network = [Cell(arm.network)] if len(study.networks) > 1 else []
    interval = f"{unit.bare(summary.low)} to {unit.bare(summary.high)}"
    mean = join([unit.value(summary.mean), element("span", interval, class_="sub")])
    if not summary.runs:
        mean = NONE
    elif not math.isfinite(summary.low):
        mean = unit.value(summary.mean)
    planned = len(arm.seeds)
    seeds = (
        f"{len(summary.runs)}"
        if len(summary.runs) == planned
        else (f"{len(summary.runs)} of {planned}")
    )
    return [
        Cell(name, arm.name),
        *network,
        *_verdict_cells(analysis, comparison, unit),
        Cell(mean, summary.mean),
        Cell(seeds, len(summary.runs)),
        Cell(count(arm.params), arm.params),
        Cell(count(arm.macs), arm.macs),
        Cell(milliseconds(arm.step_time_ms), arm.step_time_ms),
    ]


def _verdict_cells(analysis: Analysis, comparison: Comparison | None, unit: Unit) -> list[Cell]:
    """Verdict, difference and adjusted p."""
    if comparison is None:
        said = element("span", f"{SYMBOLS['baseline']} baseline", class_="verdict baseline")
        return [Cell(said, _place("baseline")), Cell(NONE), Cell(NONE)]
    verdict = comparison.verdict
    kind, rest = split_verdict(analysis, comparison)
    said = join(
        [
            element("span", f"{SYMBOLS[verdict.kind]} {kind}", class_=f"verdict {verdict.kind}"),
            element("span", rest, class_="sub") if rest else None,
        ]
    )
    if verdict.kind == "unranked":
        return [Cell(said, _place(verdict.kind)), Cell(NONE), Cell(NONE)]
    estimate = verdict.difference.estimate
    difference = join(
        [
            unit.difference(estimate),
            element("span", unit.interval(verdict.interval), class_="sub"),
        ]
    )
    return [
        Cell(said, _place(verdict.kind)),
        Cell(difference, estimate),
        Cell(p_value(verdict.adjusted_p), verdict.adjusted_p),
    ]


def _name_cell(network: str, name: str) -> Cell:
    full = full_name(network, name)
    return Cell(breakable(full), full)


def _place(kind: str) -> str:
    return f"{ORDER.index(kind)} {kind}"


def run_table(analysis: Analysis) -> Html:
    """The metric of every run, linked to its folder; what did not finish is said.

    The heads are the seeds of the arm with the most runs; a run with another seed tells it.
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
    note = element("span", f"seed {run.seed}", class_="sub") if run.seed != seed else None
    if run.status == "not begun":
        return Cell(join([run.status, note]))
    if run.status != "finished":
        return Cell(join([link(run.run_dir, run.status, title=run.error or None), note]))
    value = run.metrics[metric]
    shown = unit.bare(value) if math.isfinite(value) else "NaN"
    return Cell(join([link(run.run_dir, shown), note]), value)


def check_table(analysis: Analysis) -> Html:
    """The same differences by methods that the verdict does not use."""
    unit = unit_of(analysis.study.metric)
    columns = [
        Column("Arm"),
        Column("This test set", True, "95 % interval for new seeds on this test set"),
        Column("Bootstrap", True, "two-level BCa 95 % interval over seeds and examples"),
        Column("Welch p", True, "of the seeds alone, unpaired"),
        Column("Sign-flip p", True, "permutation of the paired differences"),
        Column("Dunnett p", True, "adjusted over the arms of the network"),
        Column("McNemar", True, "pairs of networks that differ at 5 %, of all pairs"),
    ]
    rows = []
    for (network, name), comparison in analysis.comparisons.items():
        other = comparison.checks
        if other is None:
            continue
        pairs = f"{other.mcnemar[0]} of {other.mcnemar[1]}" if other.mcnemar else NONE
        rows.append(
            [
                _name_cell(network, name),
                Cell(unit.interval(other.this_test_set), other.this_test_set[0]),
                Cell(
                    unit.interval(other.bootstrap) if other.bootstrap else NONE,
                    other.bootstrap[0] if other.bootstrap else None,
                ),
                *(_p_cell(p) for p in (other.welch_p, other.sign_flip_p, other.dunnett_p)),
                Cell(pairs, other.mcnemar[0] if other.mcnemar else None),
            ]
        )
    return sortable_table(columns, rows)


def _p_cell(p: float | None) -> Cell:
    return Cell(NONE) if p is None else Cell(p_value(p), p)


def across_table(analysis: Analysis) -> Html:
    """Every arm against the baseline over all networks."""
    unit = unit_of(analysis.study.metric)
    columns = [
        Column("Arm"),
        Column("Interquartile mean", True, "arm minus baseline, over all networks and seeds"),
        Column("P(improvement)", True, "chance that a run of the arm beats one of the baseline"),
        *(Column(network, True) for network in analysis.study.networks),
    ]
    rows = []
    for entry in analysis.across:
        gain, *gains = entry.gain
        chance, low, high = entry.improvement
        rows.append(
            [
                _name_cell("", entry.name),
                Cell(
                    join(
                        [
                            unit.difference(gain),
                            element("span", unit.interval(tuple(gains)), class_="sub"),
                        ]
                    ),
                    gain,
                ),
                Cell(
                    join(
                        [
                            f"{chance:.2f}",
                            element("span", f"{low:.2f} to {high:.2f}", class_="sub"),
                        ]
                    ),
                    chance,
                ),
                *(
                    _short_verdict(analysis.comparisons[network, entry.name], unit)
                    for network in analysis.study.networks
                ),
            ]
        )
    return sortable_table(columns, rows)


def _short_verdict(comparison: Comparison, unit: Unit) -> Cell:
    kind, estimate = comparison.verdict.kind, comparison.verdict.difference.estimate
    words = f"{SYMBOLS[kind]} {unit.difference(estimate, unit=False)}"
    return Cell(element("span", words, class_=f"verdict {kind}", title=kind), estimate)
