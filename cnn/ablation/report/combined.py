"""studies.md, studies.tex and studies.csv: several studies in one table, one column per study.

Verdicts are those of each study's own family of comparisons.
"""

from collections.abc import Sequence
from pathlib import Path

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.report.formatting import NONE, unit_of
from cnn.ablation.report.latex import LEGEND, document, escape_latex
from cnn.ablation.report.markdown import table
from cnn.ablation.report.spreadsheet import render_csv
from cnn.ablation.report.verdict_text import MARKS
from cnn.config.atomic import write_atomically
from cnn.config.errors import UserError

VerdictCell = tuple[
    str, str, str
]  # mean, difference from the baseline ("" of a baseline), kind of verdict


def write_studies(analyses: Sequence[Analysis], folder: Path) -> list[Path]:
    """Writes the table of several studies in every format into a folder.

    Raises:
      UserError: two studies have the same name.
    """
    names = [analysis.study.name for analysis in analyses]
    if len(set(names)) < len(names):
        raise UserError("--workdir: two of the studies have the same name; leave one out")
    contents = {
        "studies.md": studies_markdown(analyses),
        "studies.tex": studies_latex(analyses),
        "studies.csv": _csv(analyses),
    }
    for name, text in contents.items():
        write_atomically(folder / name, text)
    return [folder / name for name in contents]


def studies_markdown(analyses: Sequence[Analysis]) -> str:
    """Returns one row per arm and one column per study and network."""
    rows = [[name, *(_text(cell) for cell in cells)] for name, cells in _rows(analyses)]
    legend = ", ".join(f"{MARKS[kind].symbol} {kind}" for kind in ("better", "worse", "equivalent"))
    return (
        f"{table(['Arm', *_heads(analyses)], rows)}\n\n"
        f"Mean over seeds and difference from the study's baseline: {legend}, "
        f"{MARKS['undecided'].symbol} undecided; {MARKS['baseline'].symbol} baseline. "
        "Family-wise error is held at 5 % per study.\n"
    )


def studies_latex(analyses: Sequence[Analysis]) -> str:
    """Returns the same as a LaTeX table across two columns, whose caption names its columns."""
    rows = [[escape_latex(name), *map(_latex, cells)] for name, cells in _rows(analyses)]
    heads = [f"({chr(ord('a') + i)})" for i in range(len(rows[0]) - 1)]
    named = "; ".join(f"{a} {b}" for a, b in zip(heads, _heads(analyses), strict=True))
    caption = (
        f"Mean over seeds and difference from the study's baseline. {escape_latex(named)}. "
        rf"{LEGEND}; family-wise error is held at 5\,\% per study."
    )
    columns = "l" + "r" * len(heads)
    return document("table*", caption, "tab:studies", columns, [["Arm", *heads]], rows)


def _csv(analyses: Sequence[Analysis]) -> str:
    first, *others = (render_csv(analysis) for analysis in analyses)
    return first + "".join(text.partition("\n")[2] for text in others)


def _heads(analyses: Sequence[Analysis]) -> list[str]:
    """What each column shows: study, network, metric and unit."""
    heads = []
    for analysis in analyses:
        unit = unit_of(analysis.study.metric)
        shown = ", ".join(filter(None, (unit.name, unit.metric.unit)))
        for network in analysis.study.networks:
            name = ", ".join(filter(None, (analysis.study.name, network)))
            heads.append(f"{name} ({shown})")
    return heads


def _rows(analyses: Sequence[Analysis]) -> list[tuple[str, list[VerdictCell | None]]]:
    """Every arm of any study with its cell per column; None if the study has no such arm."""
    names = dict.fromkeys(arm.name for analysis in analyses for arm in analysis.study.arms)
    places = [(a, network) for a in analyses for network in a.study.networks]
    return [(name, [_cell(a, (network, name)) for a, network in places]) for name in names]


def _cell(analysis: Analysis, key: tuple[str, str]) -> VerdictCell | None:
    summary, unit = analysis.summaries.get(key), unit_of(analysis.study.metric)
    if summary is None:
        return None
    comparison = analysis.comparisons.get(key)
    if comparison is None:
        return unit.bare(summary.mean), "", "baseline"
    verdict, known = comparison.verdict, comparison.verdict.judged
    difference = unit.difference(verdict.difference.estimate, unit=False) if known else NONE
    return unit.bare(summary.mean), difference, verdict.kind


def _text(cell: VerdictCell | None) -> str:
    if cell is None:
        return ""
    mean, difference, kind = cell
    symbol = MARKS[kind].symbol
    return f"{mean} ({difference} {symbol})" if difference else f"{mean} {symbol}"


def _latex(cell: VerdictCell | None) -> str:
    if cell is None:
        return ""
    mean, difference, kind = cell
    compared = f" ({escape_latex(difference)}{MARKS[kind].latex})" if difference else ""
    return escape_latex(mean) + compared
