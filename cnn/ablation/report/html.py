"""report.html: the verdict first, in words, and then everything it rests on."""

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.analysis.study_results import Study
from cnn.ablation.report import words
from cnn.ablation.report.figures import (
    consistency_charts,
    cost_charts,
    curve_names,
    curve_panels,
    rank_table,
)
from cnn.ablation.report.forest import forest
from cnn.ablation.report.tables import across_table, arm_table, check_table, run_table
from cnn.pages.page import (
    Html,
    callout,
    definitions,
    details,
    element,
    join,
    page,
    section,
)


def render_html(analysis: Analysis) -> str:
    """Returns the report as one self-contained page."""
    study = analysis.study
    parts = [
        *_warnings(analysis),
        _verdict(analysis),
        _differences(analysis),
        _table(analysis),
        _across(analysis),
        _costs(analysis),
        _consistency(analysis),
        _curves(analysis),
        _orders(analysis),
        _checks(analysis),
        _runs(analysis),
        _rule(analysis),
        _reproduce(study),
    ]
    return page(study.name, "Ablation study", *(part for part in parts if part is not None))


def _warnings(analysis: Analysis) -> list[Html]:
    warnings = []
    if text := words.doubt(analysis):
        warnings.append(callout("doubt", "Verdicts in doubt.", text))
    if text := words.status(analysis):
        warnings.append(callout("remark", "Partial report.", text))
    if text := words.population_note(analysis):
        warnings.append(callout("remark", "Narrower than asked.", text))
    return warnings


def _verdict(analysis: Analysis) -> Html:
    items = [
        element("li", element("span", words.SYMBOLS[kind], class_="symbol"), sentence, class_=kind)
        for kind, sentence in words.headline(analysis)
    ]
    control, failed = words.control(analysis), words.failures(analysis)
    failures = element("ul", *(element("li", sentence) for sentence in failed))
    return element(
        "div",
        element("ul", *items, class_="verdicts"),
        callout("remark", "Failed runs.", failures) if failed else None,
        element("p", control, class_="note") if control else None,
        definitions(_key_figures(analysis)),
        class_="lead",
    )


def _key_figures(analysis: Analysis) -> list[tuple[str, str]]:
    study, unit = analysis.study, words.unit_of(analysis.study.metric)
    finished = sum(len(s.runs) for s in analysis.summaries.values())
    figures = [
        ("Compared", f"{words.plural(len(study.arms), 'arm')}, {finished:,} runs that count"),
        ("Metric", f"{study.metric}, {'higher' if study.higher_is_better else 'lower'} is better"),
        ("Does not matter", f"differences below {unit.size(study.margin)}"),
        ("Speaks for", words.population(analysis)),
    ]
    if analysis.resolvable:
        told = _each(analysis.resolvable, unit)
        figures.append(("Resolves", f"{told}, with 80 % power"))
    if analysis.noise_floor:
        told = _each(analysis.noise_floor, unit)
        figures.append(
            ("Noise floor", f"{told}: the sd of one accuracy on {analysis.examples:,} examples")
        )
    return figures


def _each(values: dict[str, float], unit: words.Unit) -> str:
    """The value of each network, in one line."""
    return ", ".join(
        f"{unit.size(value)} on {network}" if network else unit.size(value)
        for network, value in values.items()
    )


def _by_network(analysis: Analysis, draw) -> list[Html]:
    """What `draw(network)` returns for each network, under its name if there are several."""
    drawn = []
    for network in analysis.study.networks:
        children = [child for child in draw(network) if child is not None]
        if children:
            title = element("h3", network) if network else None
            drawn.append(element("div", title, *children))
    return drawn


def _differences(analysis: Analysis) -> Html:
    note = (
        "Mark: the estimate. Thick line: the 95 % interval of the arm alone. Thin line: the "
        "interval at the level at which the arm was judged within the family; it leaves out zero "
        "exactly when the arm is called different. Shaded: differences that do not matter. "
        "Dots: every seed, against the mean of the baseline; each leads to its run."
    )
    charts = _by_network(analysis, lambda network: [forest(analysis, network)])
    return section("Differences", *charts, note=note)


def _table(analysis: Analysis) -> Html:
    return section(
        "Arms", arm_table(analysis), note="A click on a head sorts. Small: 95 % intervals."
    )


def _across(analysis: Analysis) -> Html | None:
    if not analysis.across:
        return None
    note = (
        "Interquartile means and probabilities of improvement pool the networks, with stratified "
        "bootstrap intervals over seeds; they describe, and the verdicts are those by network."
    )
    return section("Across networks", across_table(analysis), note=note)


def _costs(analysis: Analysis) -> Html | None:
    charts = _by_network(analysis, lambda network: _pair(cost_charts(analysis, network)))
    if not charts:
        return None
    note = (
        f"Mean {analysis.study.metric} with its 95 % interval over seeds. Dashed: the Pareto "
        "front of the means; arms whose intervals overlap it may belong to it."
    )
    return section("What it costs", *charts, note=note)


def _consistency(analysis: Analysis) -> Html | None:
    charts = _by_network(analysis, lambda network: _pair(consistency_charts(analysis, network)))
    if not charts:
        return None
    note = "How often the prediction stays the same when the input is shifted, beside the metric."
    return section("Consistency", *charts, note=note)


def _pair(charts: list[Html]) -> list[Html]:
    return [element("div", *charts, class_="pair")] if charts else []


def _curves(analysis: Analysis) -> Html | None:
    drawn = []
    for name in curve_names(analysis):
        panels = _by_network(
            analysis, lambda network, name=name: [curve_panels(analysis, network, name)]
        )
        if not panels:
            continue
        first = not drawn
        title = element("h3", name, class_="curve")
        drawn.append(join([title, *panels]) if first else details(name, *panels))
    if not drawn:
        return None
    note = (
        "Mean over seeds, with a band of one standard deviation. Dotted: the baseline. "
        "Steps run to the right; the figure beside a name is the last value."
    )
    return section("Learning curves", *drawn, note=note)


def _orders(analysis: Analysis) -> Html | None:
    if not analysis.orders:
        return None

    def draw(network: str) -> list[Html]:
        order = analysis.orders.get(network)
        if order is None:
            return []
        agreement = (
            element("p", f"Kendall's W over the seeds: {order.agreement:.2f}.", class_="note")
            if order.agreement is not None
            else None
        )
        return [rank_table(order), agreement] if agreement else [rank_table(order)]

    note = (
        "Percent of draws of new seeds in which an arm takes a rank by its mean. An order that "
        "spreads over many ranks is no order."
    )
    return section("How stable the order is", *_by_network(analysis, draw), note=note)


def _checks(analysis: Analysis) -> Html | None:
    if all(c.checks is None for c in analysis.comparisons.values()):
        return None
    note = (
        "Methods with other assumptions. The verdicts do not depend on them; where they disagree, "
        "look twice. Only Dunnett's p is adjusted."
    )
    return section("The same by other methods", check_table(analysis), note=note)


def _runs(analysis: Analysis) -> Html:
    note = f"{analysis.study.metric.capitalize()} of each seed, leading to the run's folder."
    return section("Every run", run_table(analysis), note=note)


def _rule(analysis: Analysis) -> Html:
    return section(
        "The rule", element("ul", *(element("li", sentence) for sentence in words.rule(analysis)))
    )


def _reproduce(study: Study) -> Html:
    seeds = dict.fromkeys(run.seed for arm in study.arms for run in arm.seeds)
    facts = [
        ("Command", element("code", study.command)),
        ("Commit", element("code", study.commit)),
        ("Hardware", study.hardware),
        ("Versions", ", ".join(f"{n} {v}" for n, v in study.versions.items())),
        ("Seeds", ", ".join(str(seed) for seed in seeds)),
    ]
    known = [(term, value) for term, value in facts if value not in ("", "<code></code>")]
    return section(
        "How to reproduce",
        definitions(known),
        details("Study file", element("pre", element("code", study.config))),
    )
