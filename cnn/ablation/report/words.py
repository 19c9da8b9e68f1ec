"""Figures and verdicts in words: the same in every format of the report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cnn.ablation.analysis.study_analysis import Analysis, Comparison

SYMBOLS = {
    "better": "▲",
    "worse": "▼",
    "equivalent": "■",
    "undecided": "○",
    "unranked": "·",
    "baseline": "◆",
}
MINUS = "\N{MINUS SIGN}"
MANY_SEEDS = 1000  # beyond this a number of further seeds is not worth telling exactly
NONE = "\N{EN DASH}"  # where there is no figure


@dataclass(frozen=True)
class Unit:
    """How figures of a metric are written: shares as percent, their differences in points."""

    percent: bool

    def value(self, value: float) -> str:
        """A value, such as "91.23 %"."""
        if not math.isfinite(value):
            return NONE if math.isnan(value) else "∞"
        return f"{100 * value:.2f} %" if self.percent else f"{value:.4g}"

    def tick(self, value: float) -> str:
        """A round value on an axis."""
        return f"{100 * value:g} %" if self.percent else f"{value:g}"

    def bare(self, value: float) -> str:
        """A value without its unit."""
        return self.value(value).removesuffix(" %")

    def difference(self, value: float, *, unit: bool = True) -> str:
        """A difference with its sign, such as "+0.84 pp"."""
        number = f"{100 * value:+.2f}" if self.percent else f"{value:+.3g}"
        number = "+0.00" if number == "-0.00" else number
        if not math.isfinite(value):
            number = "+∞" if value > 0 else "-∞"
        return number.replace("-", MINUS) + (" pp" if unit and self.percent else "")

    def size(self, value: float) -> str:
        """A difference without a sign, such as "0.30 pp"."""
        return self.difference(abs(value))[1:]

    def interval(self, ends: tuple[float, float]) -> str:
        """An interval of a difference, without a unit."""
        return " to ".join(self.difference(end, unit=False) for end in ends)


def unit_of(metric: str) -> Unit:
    """Accuracies and consistencies are shares; anything else is written as it is."""
    return Unit("accuracy" in metric or "consistency" in metric)


def p_value(p: float) -> str:
    """A p with two significant digits."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def count(number: float | None) -> str:
    """A large number with a suffix, such as "41.2 M"; a dash if unknown."""
    if number is None:
        return NONE
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {suffix}"
    return f"{number:.3g}"


def milliseconds(value: float | None) -> str:
    """A time; a dash if unknown."""
    return NONE if value is None else f"{value:.3g} ms"


def plural(number: int, noun: str) -> str:
    """ "1 arm", "2 arms"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def full_name(network: str, name: str) -> str:
    """The name of an arm, with its network in a study of several."""
    return f"{network} / {name}" if network else name


def verdict_words(analysis: Analysis, comparison: Comparison) -> str:
    """The verdict in a few words, such as "better by 0.84 pp"."""
    verdict, unit = comparison.verdict, unit_of(analysis.study.metric)
    margin = unit.size(analysis.study.margin)
    if verdict.kind == "unranked":
        return f"not ranked: {why_unranked(analysis, comparison)}"
    estimate = verdict.difference.estimate
    if verdict.kind in ("better", "worse"):
        return f"{verdict.kind} by {unit.size(estimate)}"
    if verdict.kind == "equivalent":
        real = f", though a real {unit.difference(estimate)}" if verdict.different else ""
        return f"equivalent within {margin}{real}"
    return f"undecided: {_what_would_decide(analysis, comparison)}"


def split_verdict(analysis: Analysis, comparison: Comparison) -> tuple[str, str]:
    """The verdict as one word or two, and the rest of it."""
    kind = comparison.verdict.kind
    rest = verdict_words(analysis, comparison).removeprefix(word(kind)).lstrip(": ")
    return word(kind), "" if kind in ("better", "worse") else rest


def word(kind: str) -> str:
    """The kind of a verdict as it is called in the report."""
    return "not ranked" if kind == "unranked" else kind


def why_unranked(analysis: Analysis, comparison: Comparison) -> str:
    """Says what is missing for a verdict."""
    study, arm = analysis.study, comparison.arm
    if analysis.waiting:
        return f"the first planned look is at {study.looks[0]} seeds"
    own = len(analysis.summaries[arm.network, arm.name].runs)
    base = len(analysis.summaries[arm.network, study.baseline].runs)
    name, number = ("it", own) if own < 3 else ("the baseline", base)
    if number == 0:
        return f"{name} has no finished seed"
    return f"{name} has {plural(number, 'finished seed')}; fewer than 3 show no spread to judge by"


def _what_would_decide(analysis: Analysis, comparison: Comparison) -> str:
    verdict = comparison.verdict
    if not verdict.difference.spread:
        return "its seeds do not spread, so there is nothing to judge by"
    if verdict.seeds_wanted is None:
        if verdict.difference.example_variance > 0:
            return f"no number of seeds would decide it on {analysis.examples:,} test examples"
        return "no number of seeds would decide it"
    more = verdict.seeds_wanted - min(verdict.difference.seeds)
    if more > MANY_SEEDS:
        return f"more than {MANY_SEEDS:,} more seeds would decide it"
    return f"about {plural(more, 'more seed')} would decide it"


def status(analysis: Analysis) -> str:
    """ "" if every run has ended, else what is missing and what that means."""
    study = analysis.study
    if not study.unfinished:
        return ""
    runs = sum(len(arm.seeds) for arm in study.arms)
    ended = f"{runs - study.unfinished} of {runs} runs have ended"
    if analysis.look is not None:
        number = analysis.look.index + 1
        return (
            f"{ended}. This is planned look {number} of {len(study.looks)}, at "
            f"{study.looks[number - 1]} seeds: its verdicts hold."
        )
    return (
        f"{ended}. What follows may change; stopping because of it would raise the chance of a "
        "false verdict above 5 %."
    )


def population(analysis: Analysis) -> str:
    """What the verdicts speak for."""
    if analysis.population == "seeds and examples":
        return "new seeds and new test examples of the same kind"
    return "new seeds on this test set"


def population_note(analysis: Analysis) -> str:
    """Why the verdicts speak for less than was asked; "" if they do not."""
    if analysis.population == analysis.study.population:
        return ""
    return (
        "The verdicts speak for new seeds on this very test set, not for new test examples, "
        "because not every run kept its outcome for each example of the metric."
    )


def rule(analysis: Analysis) -> list[str]:
    """The rule behind the verdicts, one statement each."""
    study, unit = analysis.study, unit_of(analysis.study.metric)
    margin = unit.size(study.margin)
    family = plural(len(analysis.comparisons), "comparison")
    looks = f", over all {len(study.looks)} planned looks together" if study.looks else ""
    return [
        f"Every arm is compared with {study.baseline}. The {family} are one family{looks}.",
        "Better, worse: the chance that even one arm without a difference is called better or "
        "worse is at most 5 % (Student's t over seeds, widened by what the test examples add; "
        "Holm's adjustment).",
        f"Equivalent: the difference is smaller than {margin}, which the study declared not to "
        "matter; the chance that even one arm with a larger difference is called so is at most "
        "5 % (two one-sided tests, Holm's adjustment).",
        "Undecided: neither could be shown. The number of further seeds is the one that would "
        "decide with 80 % power if the differences and spreads seen are the true ones.",
        f"The verdicts speak for {population(analysis)}. Arms are paired by seed where they "
        "share seeds. Fewer than 3 seeds are not ranked.",
    ]


def doubt(analysis: Analysis) -> str:
    """ "" unless an A/A arm came out different."""
    found = analysis.doubtful
    if not found:
        return ""
    unit = unit_of(analysis.study.metric)
    differences = listed(
        [
            f"{full_name(c.arm.network, c.arm.name)} by "
            f"{unit.difference(c.verdict.difference.estimate)} "
            f"(adjusted p {p_value(c.verdict.adjusted_p)})"
            for c in found
        ]
    )
    return (
        "The A/A arm is the baseline again with other seeds, yet it came out different: "
        f"{differences}. Either this is the one study in twenty, or seeds and arms are not "
        "independent of something else that changed. Every verdict below is in doubt."
    )


def headline(analysis: Analysis) -> list[tuple[str, str]]:
    """The verdicts in words: (kind, sentence) by network and kind, the most useful kinds first."""
    sentences = []
    for network in analysis.study.networks:
        compared = [
            c
            for c in analysis.comparisons.values()
            if c.arm.network == network and c.arm.name != analysis.study.aa_arm
        ]
        where = f"On {network}, " if network else ""
        for kind in ("better", "worse", "equivalent", "undecided", "unranked"):
            chosen = [c for c in compared if c.verdict.kind == kind]
            if chosen:
                text = where + _sentence(analysis, kind, chosen)
                sentences.append((kind, text[0].upper() + text[1:] if network else text))
    return sentences


def _sentence(analysis: Analysis, kind: str, chosen: list[Comparison]) -> str:
    unit, baseline = unit_of(analysis.study.metric), analysis.study.baseline
    verb = "is" if len(chosen) == 1 else "are"
    if kind in ("undecided", "unranked"):
        reason = _what_would_decide if kind == "undecided" else why_unranked
        word = "undecided" if kind == "undecided" else "not ranked"
        reasons = [(c.arm.name, reason(analysis, c)) for c in chosen]
        if len(reasons) == 1:
            return f"{reasons[0][0]} is {word}: {reasons[0][1]}."
        told = "; ".join(f"{name}, {why}" for name, why in reasons)
        return f"{len(reasons)} arms are {word}: {told}."
    chosen = sorted(chosen, key=lambda c: -abs(c.verdict.difference.estimate))
    names = [f"{c.arm.name} ({unit.difference(c.verdict.difference.estimate)})" for c in chosen]
    if kind == "equivalent":
        margin = unit.size(analysis.study.margin)
        return f"{listed(names)} {verb} equivalent to {baseline} within {margin}."
    return f"{listed(names)} {verb} {kind} than {baseline}."


def control(analysis: Analysis) -> str:
    """What the A/A arm says, when it gives no reason for doubt; "" without one."""
    name = analysis.study.aa_arm
    found = [c for c in analysis.comparisons.values() if c.arm.name == name]
    judged = [c for c in found if c.verdict.kind != "unranked"]
    if not judged or analysis.doubtful:
        return ""
    kinds = listed(list(dict.fromkeys(c.verdict.kind for c in judged)))
    return (
        f"The A/A arm, the baseline again with other seeds, did not come out different ({kinds})."
    )


def failures(analysis: Analysis) -> list[str]:
    """One sentence for each arm that has runs without a result."""
    sentences = []
    for (network, name), summary in analysis.summaries.items():
        if not summary.failed:
            continue
        failed, total = len(summary.failed), len(summary.arm.seeds)
        reasons = dict.fromkeys(
            run.error or f"its {analysis.study.metric} is not finite" for run in summary.failed
        )
        seeds = listed([str(run.seed) for run in summary.failed])
        which = f"all {plural(total, 'run')} failed"
        if failed < total:
            which = f"{failed} of {plural(total, 'run')} failed (seed {seeds})"
        sentences.append(f"{full_name(network, name)}: {which}: {'; '.join(reasons)}")
    return sentences
