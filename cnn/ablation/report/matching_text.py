"""Arms matched to the cost of the baseline, in words and in tables."""

from dataclasses import replace

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.analysis.study_results import Study
from cnn.ablation.report.formatting import full_name

# What `match` changes in an arm, and what that makes equal.
_MATCHED = {
    "width": ("model.features", "MACs per example"),
    "macs": ("model.features", "MACs per example"),
    "parameters": ("model.features", "parameters"),
    "epochs": ("train.duration", "MACs of the whole training"),
    "time": ("train.duration", "training time"),
}
_EQUAL = {"macs": "MACs", "parameters": "parameters", "time": "training time"}


def cost_groups(analysis: Analysis) -> list[tuple[str, Analysis]]:
    """Titled groups of arms: one, or the arms as they are and at the baseline's cost.

    An arm without a copy costs as much as the baseline, so it is in both.
    """
    study = analysis.study
    if not study.matched:
        return [("", analysis)]
    copied = {arm.copy_of for arm in study.arms}
    arms = {(arm.network, arm.name): arm for arm in study.arms}
    as_is = {k: s for k, s in analysis.summaries.items() if not arms[k].copy_of}
    equal = {k: s for k, s in analysis.summaries.items() if arms[k].name not in copied}
    return [
        ("Arms as they are", replace(analysis, summaries=as_is)),
        (f"Arms at equal {_EQUAL[study.matched]}", replace(analysis, summaries=equal)),
    ]


def matching_note(study: Study) -> str:
    """The field by which arms were matched, and its values; "" if they were not matched."""
    if not (study.match or study.matched):
        return ""
    field, equal = _MATCHED[study.match or study.matched]
    values = [
        f"{full_name(arm.network, arm.name)} {text.partition('=')[2]}"
        for arm in study.arms
        for text in arm.overrides
        if text.startswith(f"{field}=") and arm.name not in (study.baseline, study.aa_arm)
        if arm.copy_of or not study.matched
    ]
    return f"Arms are matched to {study.baseline} in {equal} by {field}: {'; '.join(values)}."
