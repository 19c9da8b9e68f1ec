"""report.html: the verdicts first, in words, and then what they are based on."""

from collections.abc import Callable

from markupsafe import Markup

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.report.decision_rule import decision_rule, scope_of_inference
from cnn.ablation.report.forest import forest
from cnn.ablation.report.formatting import Unit, plural, unit_of
from cnn.ablation.report.headline import control_note, failure_sentences, headline
from cnn.ablation.report.matching_text import cost_groups
from cnn.ablation.report.plots import (
    cost_charts,
    curve_names,
    curve_panels,
    metric_charts,
    rank_table,
)
from cnn.ablation.report.remarks import remarks, table_notes
from cnn.ablation.report.reproduction import reproduction_facts
from cnn.ablation.report.tables import (
    across_table,
    arm_table,
    check_table,
    effect_table,
    run_table,
    tuning_table,
)
from cnn.ablation.report.verdict_text import MARKS
from cnn.pages import page
from cnn.pages.template import render

ByNetwork = list[tuple[str, Markup]]


def render_html(analysis: Analysis) -> str:
    """Returns the report as one self-contained page, from `templates/report.html`."""
    study = analysis.study
    return str(
        render(
            "report.html",
            title=study.name,
            kicker="Ablation study",
            study=study,
            unit=unit_of(study.metric),
            marks=MARKS,
            remarks=remarks(analysis),
            headline=headline(analysis),
            failures=failure_sentences(analysis),
            control=control_note(analysis),
            notes=table_notes(analysis),
            facts=_facts(analysis),
            forests=[(network, forest(analysis, network)) for network in study.networks],
            arms=[(title, arm_table(part)) for title, part in cost_groups(analysis)],
            effects=effect_table(analysis) if analysis.effects else None,
            tuning=tuning_table(study) if study.tuning else None,
            across=across_table(analysis) if analysis.across else None,
            costs=_by_network(analysis, _paired(cost_charts)),
            consistencies=_by_network(analysis, _paired(metric_charts)),
            curves=_curves(analysis),
            ranks=[(n, rank_table(o), o.agreement) for n, o in analysis.orders.items()],
            checks=check_table(analysis),
            runs=run_table(analysis),
            rule=decision_rule(analysis),
            reproduce=_reproduce(analysis),
        )
    )


def _facts(analysis: Analysis) -> list[tuple[str, str]]:
    study, unit = analysis.study, unit_of(analysis.study.metric)
    counted = plural(sum(len(s.runs) for s in analysis.summaries.values()), "finished run")
    better = "higher" if study.higher_is_better else "lower"
    facts = [
        ("Compared", f"{plural(len(study.arms), 'arm')}, {counted}"),
        ("Metric", f"{unit.name}, {better} is better"),
        ("Equivalence margin", unit.size(study.margin)),
        ("Scope of inference", scope_of_inference(analysis)),
    ]
    if analysis.detectable:
        by_network = _each(analysis.detectable, unit)
        facts.append(("Minimum detectable effect", f"{by_network} (80 % power)"))
    if analysis.noise_floor:
        by_network = _each(analysis.noise_floor, unit)
        examples = f"{analysis.examples:,} test examples"
        facts.append(
            ("Noise floor", f"{by_network}, the standard deviation of one accuracy on {examples}")
        )
    return facts


def _each(values: dict[str, float], unit: Unit) -> str:
    """The value of each network, in one line."""
    return ", ".join(
        f"{unit.size(value)} on {network}" if network else unit.size(value)
        for network, value in values.items()
    )


def _by_network(analysis: Analysis, draw: Callable[[Analysis, str], Markup | None]) -> ByNetwork:
    """The chart of each network, without networks for which `draw` returns None."""
    drawn = [(network, draw(analysis, network)) for network in analysis.study.networks]
    return [(network, chart) for network, chart in drawn if chart]


def _paired(
    draw: Callable[[Analysis, str], list[Markup]],
) -> Callable[[Analysis, str], Markup | None]:
    def paired(analysis: Analysis, network: str) -> Markup | None:
        charts = draw(analysis, network)
        return page.pair(*charts) if charts else None

    return paired


def _curves(analysis: Analysis) -> list[tuple[str, ByNetwork]]:
    drawn = []
    for name in curve_names(analysis):
        panels = _by_network(analysis, lambda a, network, name=name: curve_panels(a, network, name))
        if panels:
            drawn.append((name, panels))
    return drawn


def _reproduce(analysis: Analysis) -> list[tuple[str, str, bool]]:
    """(term, value, whether it is code) of what is known."""
    study = analysis.study
    seeds = dict.fromkeys(run.seed for arm in study.arms for run in arm.seeds)
    facts = [*reproduction_facts(study), ("Seeds", ", ".join(map(str, seeds)))]
    return [(term, value, term in ("Command", "Base config", "Commit")) for term, value in facts]
