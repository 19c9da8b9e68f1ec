"""report.svg: the forest plot alone, for a README, a paper or a slide."""

from cnn.ablation.analysis.study_analysis import Analysis, Summary
from cnn.ablation.report.forest import HEIGHT, axis, axis_label, marks, ranked, said_of
from cnn.ablation.report.words import SYMBOLS, unit_of, word
from cnn.pages.charts import Scale, rule
from cnn.pages.page import Html, element, palette

# Pixels: the columns are the arm's name, the chart, the difference and the verdict.
WIDTH, TOP, FOOT = 780, 34, 44
NAME, CHART, CHART_WIDTH, FIGURE, VERDICT = 16, 150, 400, 640, 656
_STYLE = """
text { font: 400 12px system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, sans-serif;
  fill: var(--ink); }
.paper { fill: var(--paper); } .band { fill: var(--band); } .name { font-weight: 600; }
.title { font-weight: 600; font-size: 13px; } .soft { fill: var(--soft); }
.toned { fill: var(--tone); font-weight: 600; }
.rule { stroke: var(--grid); } .zero { stroke: var(--faint); }
.mark { fill: var(--tone); stroke: var(--tone); stroke-width: 1.6; }
.mark.undecided, .mark.unranked { fill: var(--paper); }
.span { stroke: var(--tone); stroke-width: 2.4; } .whisker { stroke: var(--tone); }
.dot { fill: var(--tone); opacity: .38; }
svg { overflow: visible; }
"""


def render_svg(analysis: Analysis) -> str:
    """Returns the forest plot of every network as one picture that needs nothing else."""
    study = analysis.study
    panels, top = [], 0
    for network in study.networks:
        panel, height = _panel(analysis, network)
        panels.append(element("g", *panel, transform=f"translate(0,{top})"))
        top += height
    background = element("rect", width=WIDTH, height=top, rx=6, class_="paper")
    picture = element(
        "svg",
        element("title", study.name),
        element("style", palette(), Html(_STYLE)),
        background,
        *panels,
        xmlns="http://www.w3.org/2000/svg",
        width=WIDTH,
        height=top,
        viewBox=f"0 0 {WIDTH} {top}",
        role="img",
    )
    return picture + "\n"


def _panel(analysis: Analysis, network: str) -> tuple[list[Html], int]:
    """Returns the drawing of one network, from the top on, and its height."""
    arms, baseline = ranked(analysis, network)
    x, margin = axis(analysis, arms, baseline), analysis.study.margin
    bottom = TOP + HEIGHT * len(arms)
    within = [
        element(
            "rect",
            x=f"{x(-margin)}%",
            width=f"{x(margin) - x(-margin):.2f}%",
            height="100%",
            class_="band",
        ),
        rule(x(0), 0, x(0), 100, "zero"),
    ]
    behind = element("svg", *within, x=CHART, y=TOP, width=CHART_WIDTH, height=HEIGHT * len(arms))
    title = network or analysis.study.name
    rows = [_row(analysis, s, baseline, x, TOP + HEIGHT * i) for i, s in enumerate(arms)]
    heading = element("text", title, x=NAME, y=22, class_="title")
    return [behind, heading, *rows, *_foot(analysis, x, bottom)], bottom + FOOT


def _row(analysis: Analysis, summary: Summary, baseline: Summary, x: Scale, top: int) -> Html:
    study, unit = analysis.study, unit_of(analysis.study.metric)
    kind, figure, _ = said_of(analysis, summary)
    name = summary.arm.name + (" (A/A)" if summary.arm.name == study.aa_arm else "")
    drawn = marks(analysis, summary, baseline, x, unit)
    middle = top + HEIGHT / 2 + 4
    return element(
        "g",
        element("line", x1=NAME, x2=WIDTH - NAME, y1=top, y2=top, class_="rule"),
        element("text", name, x=NAME, y=middle, class_="name"),
        element("svg", *drawn, x=CHART, y=top, width=CHART_WIDTH, height=HEIGHT),
        element("text", figure, x=FIGURE, y=middle, text_anchor="end", class_="toned"),
        element("text", f"{SYMBOLS[kind]} {word(kind)}", x=VERDICT, y=middle, class_="toned"),
        class_=kind,
    )


def _foot(analysis: Analysis, x: Scale, top: int) -> list[Html]:
    unit = unit_of(analysis.study.metric)
    middle = {"text_anchor": "middle", "class_": "soft"}
    ticks = [
        element(
            "text",
            unit.difference(value, unit=False) if value else "0",
            x=round(CHART + CHART_WIDTH * x(value) / 100, 1),
            y=top + 15,
            **middle,
        )
        for value in x.ticks(5)
    ]
    label = element("text", axis_label(analysis), x=CHART + CHART_WIDTH / 2, y=top + 32, **middle)
    line = element("line", x1=NAME, x2=WIDTH - NAME, y1=top, y2=top, class_="rule")
    return [line, *ticks, label]
