"""The decision rule of a study, and its scope of inference."""

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.report.formatting import listed, plural, unit_of


def scope_of_inference(analysis: Analysis) -> str:
    """The scope of inference of the verdicts."""
    if analysis.population == "seeds and examples":
        return "new seeds and new test examples from the same distribution"
    return "new seeds on this fixed test set"


def decision_rule(analysis: Analysis) -> list[str]:
    """The decision rule, one statement each."""
    study, unit = analysis.study, unit_of(analysis.study.metric)
    margin = unit.size(study.margin)
    number = len(analysis.family) + len(analysis.effects)
    several, family = number != 1, plural(number, "comparison")
    effects = " (arms and effects of the factors)" if analysis.effects else ""
    times = listed([str(seeds) for seeds in study.analyses.seeds])
    units = f" Only examples of different units ({study.unit}) are independent."
    return [
        f"Every arm is compared with {study.baseline}. The family-wise error rate is held at 5 % "
        f"over {'the ' if several else ''}{family}{effects}, of which the planned final "
        "analysis spends 3.5 %; the rest is reserved for seeds added later. Analyzed at "
        f"{times} seeds.",
        "Better, worse: the null hypothesis of no difference is rejected (Student's t over seeds, "
        "with the variance of the test examples added; Holm's adjustment). An arm takes its own "
        "variance over seeds, or that of all arms if it is larger.",
        f"Equivalent: the difference is within the equivalence margin of {margin} (two one-sided "
        "tests, Holm's adjustment).",
        "Undecided: neither could be shown. Where given, the number of further seeds or test "
        "examples would decide (different or equivalent) with 80 % power if the observed "
        "differences and standard deviations were the true ones.",
        "Unstable: at least one seed diverged. An arm gets a verdict only if every planned seed of "
        "its own and of the baseline has a finite metric. An arm with crashed runs is not ranked "
        "until they have been trained again; neither is one with fewer than 3 seeds.",
        f"Scope of inference: {scope_of_inference(analysis)}.{units if study.unit else ''} "
        f"{_pairing(analysis)}",
        "Confounded: besides the operator under study, an arm differs from the baseline in more "
        "than one of parameters, MACs, receptive field, normalization, non-linearities, use of a "
        "maximum, sampling, further sites, and training recipe.",
        "The effect size of a significant difference is overestimated on average; report.csv has "
        "corrected estimates.",
    ]


def _pairing(analysis: Analysis) -> str:
    if not analysis.study.paired:
        control = ", including the A/A control" if analysis.study.aa_arm else ""
        return f"Seeds are independent between arms{control}."
    unpaired = [c.arm.name for c in analysis.comparisons.values() if not c.by_seed]
    but = f", except for {listed(unpaired)}, which ran other seeds" if unpaired else ""
    return f"The study declares its seeds paired: arms are compared seed by seed{but}."
