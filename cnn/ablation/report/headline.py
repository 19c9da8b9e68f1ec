"""The verdicts of a study in sentences, its A/A control and its failed runs."""

from typing import get_args

from cnn.ablation.analysis.study_analysis import Analysis, Comparison
from cnn.ablation.report.effect_text import effect_sentence
from cnn.ablation.report.formatting import full_name, listed, unit_of
from cnn.ablation.report.verdict_text import (
    at_what_cost,
    lost_seeds,
    verdict_label,
    what_would_decide,
    why_not_judged,
)
from cnn.ablation.statistics.verdict import VerdictKind


def headline(analysis: Analysis) -> list[tuple[str, str]]:
    """The verdicts in words: (kind, sentence) by network and kind, the most useful kinds first."""
    sentences = []
    for network in analysis.study.networks:
        compared = [c for c in analysis.family if c.arm.network == network]
        where = f"On {network}, " if network else ""
        for kind in get_args(VerdictKind):
            chosen = [c for c in compared if c.verdict.kind == kind]
            # Arms that are undecided or not ranked for one reason share a sentence.
            for reason in dict.fromkeys(_reason(analysis, c) for c in chosen):
                alike = [c for c in chosen if _reason(analysis, c) == reason]
                sentences.append((kind, where + _sentence(analysis, kind, alike, reason)))
    effects = [(e.verdict.kind, effect_sentence(analysis, e)) for e in analysis.effects]
    return [*effects, *sentences]


def _reason(analysis: Analysis, comparison: Comparison) -> str:
    """Why there is no verdict; "" where there is one."""
    if not comparison.verdict.judged:
        return why_not_judged(analysis, comparison)
    undecided = comparison.verdict.kind == "undecided"
    return what_would_decide(analysis, comparison) if undecided else ""


def _sentence(analysis: Analysis, kind: str, chosen: list[Comparison], reason: str) -> str:
    unit, baseline = unit_of(analysis.study.metric), analysis.study.baseline
    verb = "is" if len(chosen) == 1 else "are"
    if reason:
        costs = (at_what_cost(analysis, c.arm).lstrip(",: ") for c in chosen)
        names = [
            f"{c.arm.name} ({cost})" if cost and kind == "undecided" else c.arm.name
            for c, cost in zip(chosen, costs, strict=True)
        ]
        return f"{listed(names)} {verb} {verdict_label(kind)}: {reason}."
    chosen = sorted(chosen, key=lambda c: -abs(c.verdict.difference.estimate))
    names = [
        f"{c.arm.name} ({unit.difference(c.verdict.difference.estimate)}"
        f"{at_what_cost(analysis, c.arm)})"
        for c in chosen
    ]
    if kind == "equivalent":
        margin = unit.size(analysis.study.margin)
        return f"{listed(names)} {verb} equivalent to {baseline} within {margin}."
    return f"{listed(names)} {verb} {kind} than {baseline}."


def control_note(analysis: Analysis) -> str:
    """The result of the A/A control; "" without one, or if it puts the verdicts in doubt."""
    judged = [c for c in analysis.controls if c.verdict.judged]
    if not judged or analysis.doubtful:
        return ""
    kinds = listed(list(dict.fromkeys(c.verdict.kind for c in judged)))
    return f"A/A control (the baseline with other seeds): no significant difference ({kinds})."


def failure_sentences(analysis: Analysis) -> list[str]:
    """One sentence for each arm that has runs without a result."""
    sentences = []
    for (network, name), summary in analysis.summaries.items():
        lost = (*summary.diverged, *summary.crashed)
        if not lost:
            continue
        reasons = dict.fromkeys(
            run.error or f"its {analysis.study.metric} is not finite" for run in lost
        )
        seeds = listed([str(run.seed) for run in lost])
        lost_runs = f"{full_name(network, name)}: {lost_seeds(summary)} (seed {seeds})"
        sentences.append(f"{lost_runs}: {'; '.join(reasons)}")
    return sentences
