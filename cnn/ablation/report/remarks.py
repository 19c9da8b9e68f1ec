"""What limits a report as a whole: doubt, interim and mixed data, registration, race, load."""

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.analysis.study_results import Arm, Study
from cnn.ablation.report.formatting import full_name, listed, p_value, unit_of
from cnn.ablation.report.tuning_text import tuning_note


def remarks(analysis: Analysis) -> list[tuple[str, str, str]]:
    """What limits the whole report: (kind, title, text), kind "doubt" or "remark"."""
    found = [
        ("doubt", "Verdicts in doubt.", _doubt_note(analysis)),
        ("remark", "Interim." if analysis.interim else "Partial report.", _progress_note(analysis)),
        ("remark", "Registered before training.", _registration_note(analysis.study)),
        *(("remark", "Changed.", f"{said}.") for said in analysis.study.changed),
        *(("remark", "Mixed.", f"{said}.") for said in analysis.mixed),
        ("remark", "Narrower than planned.", _scope_note(analysis)),
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
    ended = f"{runs - study.unfinished} of {runs} runs have ended"
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
    return (
        "Inference is over seeds only, for this fixed test set, because not every run kept its "
        "per-example outcomes of the metric."
    )


def _race_note(analysis: Analysis) -> str:
    """Which arms stopped at which analysis, and how many runs that saved; "" without a race."""
    study = analysis.study
    if not study.race:
        return ""
    told, planned = [], study.analyses.seeds
    for index, seeds in enumerate(planned):
        names = [full_name(a.network, a.name) for a in _rivals(study) if a.stopped == index]
        if names:
            verb = "was" if len(names) == 1 else "were"
            told.append(f"{listed(names)} {verb} stopped at analysis {index + 1} ({seeds} seeds)")
    saved = sum(planned[-1] - len(arm.seeds) for arm in study.arms)
    if not told:
        return f"no arm has stopped before {planned[-1]} seeds."
    return f"{'; '.join(told)}. That saves {saved} of {planned[-1] * len(study.arms)} runs."


def _rivals(study: Study) -> list[Arm]:
    return [arm for arm in study.arms if arm.name not in (study.baseline, study.aa_arm)]


def load_note(study: Study) -> str:
    """That step times were measured under load; "" if they were not."""
    if not study.under_load:
        return ""
    return "Step times were measured under load: other runs of the study trained at the same time."
