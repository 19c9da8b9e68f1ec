"""The tuning of a study in words: what every arm tried, and what was chosen."""

from cnn.ablation.analysis.study_results import Study
from cnn.ablation.report.formatting import plural, unit_of


def tuning_note(study: Study) -> str:
    """What every arm tried on the validation split, and what it is trained with."""
    if not study.tuning:
        return ""
    first = study.tuning[0]
    seeds = plural(len(first.tried[0][1]), "seed")
    chosen = "; ".join(f"{one.arm}: {', '.join(one.chosen)}" for one in study.tuning)
    return (
        f"Every arm was tuned over the same {plural(len(first.tried), 'setting')} with {seeds} "
        f"each, which are not used for verdicts; best by {unit_of(first.metric).name} on the "
        f"validation split: {chosen}."
    )


TUNING_HEADS = ("Arm", "Tried", "Validation", "Chosen")


def tuning_rows(study: Study) -> list[list[str]]:
    """Every setting of every arm: its fields, the mean over the tuning seeds, whether chosen."""
    rows = []
    for one in study.tuning:
        unit = unit_of(one.metric)
        for setting, values in one.tried:
            failed = values.count(None)
            mean = f"{plural(failed, 'seed')} failed" if failed else ""
            shown = mean or unit.value(sum(values) / len(values))
            rows.append([one.arm, " ".join(setting), shown, "yes" * (setting == one.chosen)])
    return rows
