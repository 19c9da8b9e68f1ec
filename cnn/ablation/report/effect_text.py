"""Main effects and interactions of crossed factors in words."""

from cnn.ablation.analysis.effects import Effect
from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.report.formatting import NONE, p_value, unit_of
from cnn.ablation.report.verdict_text import verdict_label, what_would_decide

EFFECT_HEADS = ("Effect", "Verdict", "Difference", "Simultaneous", "Adjusted p")


def effect_rows(analysis: Analysis) -> list[list[str]]:
    """Every effect of the factors, in the order of `EFFECT_HEADS`."""
    unit, rows = unit_of(analysis.study.metric), []
    for effect in analysis.effects:
        verdict, numbers = effect.verdict, [NONE] * 3
        if verdict.judged:
            numbers = [
                f"{unit.difference(verdict.difference.estimate)} "
                f"({unit.interval(verdict.interval)})",
                unit.interval(verdict.family_interval),
                p_value(verdict.adjusted_p),
            ]
        rows.append([effect_name(effect), verdict_label(verdict.kind), *numbers])
    return rows


def effect_name(effect: Effect) -> str:
    """An effect for a table, such as "reduction: max blur" or "reduction x augmentation: ..."."""
    factors = " x ".join(factor for factor, _, _ in effect.contrast.levels)
    return f"{factors}: {effect.contrast.name}"


def effect_sentence(analysis: Analysis, effect: Effect) -> str:
    """The verdict on an effect of the factors, in a sentence."""
    unit, verdict, network = unit_of(analysis.study.metric), effect.verdict, effect.contrast.network
    where = f"On {network}, " if network else ""
    (factor, level, reference), *second = effect.contrast.levels
    if second:
        _, other, other_reference = second[0]
        what = (
            f"{where}interaction: the effect of {level} over {reference} is "
            f"{{}} with {other} than with {other_reference}"
        )
        same = f"the same with {other} and {other_reference}"
    else:
        [average] = [name for name, _ in analysis.study.factors if name != factor]
        what = f"{where}main effect, averaged over {average}: {level} is {{}} than {reference}"
        same = f"equivalent to {reference}"
    start = what.partition("{}")[0]
    if not verdict.judged:
        return f"{start}{verdict_label(verdict.kind)}: not all seeds of its arms have finished."
    difference = unit.difference(verdict.difference.estimate)
    if verdict.kind == "undecided":
        return f"{start}undecided ({difference}): {what_would_decide(analysis, effect)}."
    if verdict.kind == "equivalent":
        return f"{start}{same} within {unit.size(analysis.study.margin)} ({difference})."
    return f"{what.format(verdict.kind)} ({difference})."
