"""report.svg: the forest plot alone, for a README, a paper or a slide."""

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.report.forest import forest
from cnn.pages.template import render

# Pixels: width of the picture, height of a network's title and of its axis.
WIDTH, TITLE, AXIS = 780, 34, 44


def render_svg(analysis: Analysis) -> str:
    """Returns the forest plots of all networks as one self-contained SVG."""
    panels, top = [], 0
    for network in analysis.study.networks:
        plot = forest(analysis, network)
        panels.append((network or analysis.study.name, plot, top))
        top += TITLE + plot.height * len(plot.rows) + AXIS
    size = {"width": WIDTH, "height": top, "title_height": TITLE}
    return str(render("forest.svg", title=analysis.study.name, panels=panels, **size))
