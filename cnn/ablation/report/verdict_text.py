"""The verdict on one arm in words: how large, at what cost, and what would decide it."""

from typing import NamedTuple

from cnn.ablation.analysis.effects import Effect
from cnn.ablation.analysis.study_analysis import Analysis, Comparison
from cnn.ablation.analysis.study_results import Arm
from cnn.ablation.analysis.summary import Summary
from cnn.ablation.report.formatting import listed, plural, unit_of
from cnn.ablation.statistics.power import MOST_SEEDS
from cnn.ablation.statistics.verdict import FEWEST_SEEDS, MOST_TIMES_SEEDS, Verdict


class Mark(NamedTuple):
    """How a kind of verdict is marked: in text, by a shape of `cnn.pages.charts`, and in LaTeX."""

    symbol: str
    shape: str
    latex: str = ""


# In the order that tables are sorted in.
MARKS = {
    "better": Mark("▲", "up", r"$\uparrow$"),
    "baseline": Mark("◆", "diamond"),
    "equivalent": Mark("■", "square", "$=$"),
    "undecided": Mark("○", "disc"),
    "worse": Mark("▼", "down", r"$\downarrow$"),
    "unstable": Mark("✕", "disc"),
    "interim": Mark("…", "disc"),
    "unranked": Mark("·", "disc"),
}
# Alone, these factors are the operator itself, which is what is compared.
_OF_OPERATORS = ("maximum", "sampling")
MANY_SEEDS = 1000  # beyond this, the number of further seeds is not given exactly


def verdict_words(analysis: Analysis, comparison: Comparison) -> str:
    """The verdict in a few words, such as "better by 0.84 pp"."""
    verdict, unit = comparison.verdict, unit_of(analysis.study.metric)
    margin = unit.size(analysis.study.margin)
    if not verdict.judged:
        return f"{verdict_label(verdict.kind)}: {why_not_judged(analysis, comparison)}"
    estimate, cost = verdict.difference.estimate, at_what_cost(analysis, comparison.arm)
    if verdict.kind in ("better", "worse"):
        return f"{verdict.kind} by {unit.size(estimate)}{cost}"
    if verdict.kind == "equivalent":
        change = unit.difference(estimate)
        real = f", though significantly different ({change})" if verdict.different else ""
        return f"equivalent within {margin}{real}{cost}"
    return f"undecided: {what_would_decide(analysis, comparison)}"


def split_verdict(analysis: Analysis, comparison: Comparison) -> tuple[str, str]:
    """The label of the verdict, and the rest of its words."""
    kind = comparison.verdict.kind
    label = verdict_label(kind)
    if kind in ("better", "worse"):
        return label, at_what_cost(analysis, comparison.arm).lstrip(":, ")
    return label, verdict_words(analysis, comparison).removeprefix(label).lstrip(": ")


def at_what_cost(analysis: Analysis, arm: Arm) -> str:
    """What comes with the operator, such as ", at 3.8x the MACs: confounded"."""
    baseline = analysis.study.baseline_of(arm.network)
    pairs = (("MACs", arm.macs, baseline.macs), ("parameters", arm.params, baseline.params))
    ratios = [
        f"{_times(mine / other)} the {name}"
        for name, mine, other in pairs
        if name in arm.differs and mine and other
    ]
    cost = f", at {' and '.join(ratios)}" if ratios else ""
    if arm.confounded:
        return f"{cost}: confounded"
    others = [name for name in arm.differs if name not in _OF_OPERATORS]
    return cost or (f", differing in {others[0]}" if others else "")


def _times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio >= 0.95 else f"{ratio:.2g}x"


def verdict_label(kind: str) -> str:
    """The label of a kind of verdict."""
    return "not ranked" if kind == "unranked" else kind


def why_not_judged(analysis: Analysis, comparison: Comparison) -> str:
    """Why an arm has no verdict."""
    study, arm = analysis.study, comparison.arm
    summary = analysis.summaries[arm.network, arm.name]
    baseline = analysis.summaries[arm.network, study.baseline]
    if summary.diverged:
        return lost_seeds(summary)
    if analysis.interim:
        return f"{summary.ended} of {study.analyses.seeds[0]} seeds finished"
    if summary.crashed:
        return f"{lost_seeds(summary)}; the same command trains them again"
    if baseline.diverged or baseline.crashed:
        return f"in the baseline, {lost_seeds(baseline)}"
    whose, number = "", len(summary.runs)
    if number >= FEWEST_SEEDS:
        whose, number = "the baseline has ", len(baseline.runs)
    if number >= FEWEST_SEEDS:
        return f"not all {analysis.current.seeds} seeds have finished"
    if number == 0:
        return f"{whose}no finished seed"
    return (
        f"{whose}{plural(number, 'finished seed')}; at least 3 are needed to estimate a standard "
        "deviation"
    )


def lost_seeds(summary: Summary) -> str:
    """How many seeds diverged or crashed, such as "6 of 10 seeds diverged"."""
    counts = [
        f"{len(runs)} of {plural(len(summary.arm.seeds), 'seed')} {what}"
        for runs, what in ((summary.diverged, "diverged"), (summary.crashed, "crashed"))
        if runs
    ]
    return listed(counts)


def what_would_decide(analysis: Analysis, comparison: Comparison | Effect) -> str:
    """How many more seeds or test examples should decide an undecided arm or effect."""
    verdict = comparison.verdict
    if not verdict.difference.varies:
        return "its seeds do not differ, so no standard deviation can be estimated"
    if verdict.seeds_wanted is None:
        return _nothing_decides(analysis, verdict)
    more = verdict.seeds_wanted - min(verdict.difference.seeds)
    if verdict.examples_wanted is not None:
        seeds = f" and {plural(more, 'more seed')}" if more else ""
        wanted = f"about {verdict.examples_wanted:,} test examples{seeds} should be enough"
        return f"limited by {_tested(analysis)}; more seeds alone will not help ({wanted})"
    if more > MANY_SEEDS:
        return f"more than {MANY_SEEDS:,} more seeds needed"
    return f"about {plural(more, 'more seed')} should be enough to decide"


def _nothing_decides(analysis: Analysis, verdict: Verdict) -> str:
    """That no number of seeds or test examples within the limits of the search would decide."""
    if not verdict.difference.examples:
        return f"more seeds will not help (even {MOST_SEEDS:,} would probably not be enough)"
    seeds = MOST_TIMES_SEEDS * min(verdict.difference.seeds)
    return (
        f"limited by {_tested(analysis)}; more seeds alone will not help, and even {seeds} seeds "
        "would probably not decide it on a test set of any size"
    )


def _tested(analysis: Analysis) -> str:
    """What the test set consists of, such as "2,000 test examples"."""
    units = analysis.study.units
    if units is None:
        return f"{analysis.examples:,} test examples"
    return f"{len(set(units.tolist())):,} independent test units"
