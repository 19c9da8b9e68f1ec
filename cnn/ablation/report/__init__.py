"""The report of a study: a page, Markdown, CSV, LaTeX tables and a figure of one analysis."""

from pathlib import Path

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.report.figure import render_svg
from cnn.ablation.report.html import render_html
from cnn.ablation.report.latex import render_latex, render_wide_latex
from cnn.ablation.report.markdown import render_markdown
from cnn.ablation.report.spreadsheet import render_csv
from cnn.config.atomic import write_atomically

FORMATS = {
    "report.html": render_html,
    "report.md": render_markdown,
    "report.csv": render_csv,
    "report.tex": render_latex,
    "report_wide.tex": render_wide_latex,
    "report.svg": render_svg,
}


def write_report(analysis: Analysis, folder: Path) -> list[Path]:
    """Writes the report in every format into a folder; the run folders are relative to it."""
    written = []
    for name, render in FORMATS.items():
        path = folder / name
        write_atomically(path, render(analysis))
        written.append(path)
    return written


__all__ = [
    "FORMATS",
    "render_csv",
    "render_html",
    "render_latex",
    "render_markdown",
    "render_svg",
    "render_wide_latex",
    "write_report",
]
