"""What limits a report: doubt, interim and mixed data, chance level, registration, race, load."""

import math

from cnn.ablation.analysis.study_analysis import ALPHA, Analysis
from cnn.ablation.analysis.study_results import Arm, Study
from cnn.ablation.report.effect_text import effect_name
from cnn.ablation.report.formatting import full_name, listed, p_value, unit_of
from cnn.ablation.report.matching_text import matching_note
from cnn.ablation.report.tuning_text import tuning_note


def remarks(analysis: Analysis) -> list[tuple[str, str, str]]:
    """What limits the whole report: (kind, title, text), kind "doubt" or "remark"."""
    found = [
        ("doubt", "Verdicts in doubt.", _doubt_note(analysis)),
        ("remark", "Interim." if analysis.interim else "Partial report.", _progress_note(analysis)),
        ("remark", "Registered before training.", _registration_note(analysis.study)),
        *(("remark", "Changed.", f"{change}.") for change in analysis.study.changed),
        *(("remark", title, f"{sentence}.") for title, sentence in analysis.provenance),
        ("remark", "Chance level.", _chance_note(analysis)),
        ("remark", "Narrower scope than planned.", _scope_note(analysis)),
        ("remark", "Race.", _race_note(analysis)),
        ("remark", "Tuned.", tuning_note(analysis.study)),
    ]
    return [remark for remark in found if remark[2]]


def _doubt_note(analysis: Analysis) -> str:
    """Why the verdicts are in doubt; "" unless an A/A control differs significantly."""
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
        "The A/A control repeats the baseline with other seeds, yet it differs significantly: "
        f"{differences}. Either this is a false positive, which occurs in at most 5 % of studies, "
        "or something else differs between the arms. Every verdict below is in doubt."
    )


def _progress_note(analysis: Analysis) -> str:
    """How many runs have ended, and whether the verdicts are valid; "" if all have ended."""
    study = analysis.study
    if not study.unfinished:
        return ""
    runs = sum(len(arm.seeds) for arm in study.arms)
    ended = f"{runs - study.unfinished} of {runs} runs finished"
    if analysis.current is not None:
        number = analysis.current.index + 1
        return (
            f"{ended}. This is analysis {number} of {len(study.analyses.seeds)}, at "
            f"{analysis.current.seeds} seeds; its verdicts are valid."
        )
    return (
        f"{ended}. There are no verdicts before the planned analysis at "
        f"{study.analyses.seeds[0]} seeds: earlier ones would have an error rate above 5 %."
    )


def _registration_note(study: Study) -> str:
    if not study.registered:
        return ""
    since = "with the changes below" if study.changed else "unchanged since"
    return f"SHA-256 {study.registered}, {since}."


def _scope_note(analysis: Analysis) -> str:
    """Why the scope of inference is narrower than planned; "" if it is not."""
    if analysis.population == analysis.study.population:
        return ""
    start = "Inference is over seeds only, for this fixed test set, because"
    if analysis.study.metric != "accuracy":
        return (
            f"{start} per-example outcomes are kept for accuracy only; population='seeds' in the "
            "study file declares that."
        )
    return f"{start} not every run kept its per-example outcomes."


def _race_note(analysis: Analysis) -> str:
    """Which arms stopped at which analysis, and how many runs that saved; "" without a race."""
    study = analysis.study
    if not study.race:
        return ""
    stops, planned = [], study.analyses.seeds
    for index, seeds in enumerate(planned):
        names = [full_name(a.network, a.name) for a in _rivals(study) if a.stopped == index]
        if names:
            verb = "was" if len(names) == 1 else "were"
            stops.append(f"{listed(names)} {verb} stopped at analysis {index + 1} ({seeds} seeds)")
    saved = sum(planned[-1] - len(arm.seeds) for arm in study.arms)
    if not stops:
        return f"No arm stopped before {planned[-1]} seeds."
    return f"{'; '.join(stops)}. That saves {saved} of {planned[-1] * len(study.arms)} runs."


def _rivals(study: Study) -> list[Arm]:
    return [arm for arm in study.arms if arm.name not in (study.baseline, study.aa_arm)]


def _chance_note(analysis: Analysis) -> str:
    """Which arms are not above chance level, if the baseline of a network is not; else ""."""
    study, chance = analysis.study, analysis.study.chance
    if study.metric != "accuracy" or chance is None:
        return ""
    low = {
        key: one.low if math.isfinite(one.low) else one.mean
        for key, one in analysis.summaries.items()
        if one.runs
    }
    failed = [n for n in study.networks if low.get((n, study.baseline), math.inf) <= chance]
    names = [full_name(*key) for key, value in low.items() if key[0] in failed and value <= chance]
    if not names:
        return ""
    which = "every arm" if len(names) == len(low) else listed(names)
    return (
        f"The 95 % interval of {which} contains or lies below the accuracy of always predicting "
        f"the most frequent class ({unit_of(study.metric).value(chance)}); verdicts between "
        "networks that have not learned the task say nothing about the operators."
    )


def table_notes(analysis: Analysis) -> list[str]:
    """The notes below the table of arms."""
    notes = matching_note(analysis.study), level_note(analysis), load_note(analysis.study)
    return [note for note in notes if note]


def level_note(analysis: Analysis) -> str:
    """Why arms whose 95 % interval excludes 0 are undecided; "" if there are none."""
    compared = [(full_name(*key), c.verdict) for key, c in analysis.comparisons.items()]
    compared += [(effect_name(effect), effect.verdict) for effect in analysis.effects]
    names = [
        name
        for name, verdict in compared
        if verdict.kind == "undecided" and not verdict.interval[0] <= 0 <= verdict.interval[1]
    ]
    if not names:
        return ""
    level = analysis.current.level(ALPHA)
    return (
        f"{listed(names)}: undecided although the 95 % interval excludes 0, because verdicts use "
        f"alpha = {level:.2g} at this analysis and Holm's adjustment; see the decision rule."
    )


def load_note(study: Study) -> str:
    """That step times were measured under load; "" if they were not."""
    if not study.under_load:
        return ""
    return "Step times were measured under load: other runs of the study trained at the same time."
