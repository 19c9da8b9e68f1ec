r"""report.tex and report_wide.tex: the table of arms for one and for two columns, to be \input."""

import re
from collections.abc import Callable, Sequence

from cnn.ablation.analysis.study_analysis import Analysis, Key
from cnn.ablation.report.decision_rule import scope_of_inference
from cnn.ablation.report.effect_text import effect_name
from cnn.ablation.report.formatting import NONE, digits, full_name, magnitude, p_value, unit_of
from cnn.ablation.report.matching_text import cost_groups, matching_note
from cnn.ablation.report.remarks import level_note, load_note, remarks
from cnn.ablation.report.verdict_text import MARKS
from cnn.ablation.statistics.verdict import Verdict

ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{INFINITY}": r"$\infty$",
}
LatexColumn = tuple[str, str, Sequence[str]]  # name, unit, cells
AA_MARK = " (A/A)"
AA_LEGEND = "A/A: the baseline with other seeds."
LEGEND = ", ".join(f"{MARKS[kind].latex} {kind}" for kind in ("better", "worse", "equivalent"))


def escape_latex(text: str) -> str:
    """Escapes text for LaTeX, on one line."""
    return "".join(ESCAPES.get(c, c) for c in " ".join(text.split()))


def render_latex(analysis: Analysis) -> str:
    """Returns the table for one column of a page: metric, difference, verdict and parameters."""
    return _tables("table", analysis, "lrrlcr", [_params])


def render_wide_latex(analysis: Analysis) -> str:
    """Returns the table across two columns of a page: also p, seeds, MACs and step time."""
    return _tables("table*", analysis, "lrrlcrrrrr", [_p, _seeds, _params, _macs, _step])


def label_of(name: str) -> str:
    """The name of a study as a label, such as "tab:pooling_on_cifar_10"."""
    return "tab:" + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def document(
    environment: str,
    caption: str,
    label: str,
    columns: str,
    heads: Sequence[Sequence[str]],
    rows: Sequence[Sequence[str]],
) -> str:
    """Returns a table environment around rows of LaTeX.

    Args:
      environment: "table", or "table*" across two columns.
      caption, label: of the table.
      columns: their alignment.
      heads, rows: cells of the head's rows and of the others.
    """
    lines = [
        r"% Needs \usepackage{booktabs}.",
        rf"\begin{{{environment}}}",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{2.5pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        *(_line(cells) for cells in heads),
        r"\midrule",
        *(_line(cells) for cells in rows),
        r"\bottomrule",
        r"\end{tabular}",
        rf"\end{{{environment}}}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _tables(
    environment: str,
    analysis: Analysis,
    columns: str,
    more: Sequence[Callable[[Analysis], LatexColumn]],
) -> str:
    """The table of arms, or one per cost group, and one of the effects of factors."""
    label = label_of(analysis.study.name) + ("_wide" if environment == "table*" else "")
    tables = []
    for i, (title, part) in enumerate(cost_groups(analysis)):
        named = f"{label}_{i + 1}" if title else label
        columns_of_part = [column(part) for column in more]
        tables.append(_table(environment, part, columns, columns_of_part, title, named))
    return "".join(tables) + (_effects(environment, analysis, label) if analysis.effects else "")


def _table(
    environment: str,
    analysis: Analysis,
    columns: str,
    more: Sequence[LatexColumn],
    title: str,
    label: str,
) -> str:
    """The arms with their differences and some more columns."""
    unit = unit_of(analysis.study.metric)
    short = unit.metric.short[:1].upper() + unit.metric.short[1:]
    heads = [
        ["Arm", escape_latex(short), r"\multicolumn{3}{c}{Difference, 95\,\% CI}"],
        ["", _in_brackets(unit.metric.unit), _centred(_in_brackets(unit.of_differences))],
    ]
    heads = [[*first, *(column[i] for column in more)] for i, first in enumerate(heads)]
    rest = zip(*(column[2] for column in more), strict=True)
    rows = [[*row, *cells] for row, cells in zip(_differences(analysis), rest, strict=True)]
    wide = environment == "table*"
    caption = f"{title}. " * bool(title) + _caption(analysis, wide)
    return document(environment, caption, label, columns, heads, rows)


def _effects(environment: str, analysis: Analysis, label: str) -> str:
    """A second table, of the main effects and the interaction of two factors."""
    unit, rows = unit_of(analysis.study.metric), []
    for effect in analysis.effects:
        verdict, numbers = effect.verdict, ["--"] * 2
        if verdict.judged:
            low, high = (unit.difference(v, unit=False).lstrip("+") for v in verdict.interval)
            estimate = unit.difference(verdict.difference.estimate, unit=False)
            numbers = [escape_latex(estimate), escape_latex(f"[{low}, {high}]")]
        name = full_name(effect.contrast.network, effect_name(effect))
        rows.append([escape_latex(name), *numbers, MARKS[verdict.kind].latex])
    unit_named = _in_brackets(unit.of_differences)
    heads = [["Effect", rf"\multicolumn{{3}}{{c}}{{Difference {unit_named}, 95\,\% CI}}"]]
    caption = f"{analysis.study.name}: main effects and interaction of its factors."
    return document(
        environment, f"{escape_latex(caption)} {LEGEND}.", f"{label}_effects", "lrrl", heads, rows
    )


def _centred(text: str) -> str:
    return rf"\multicolumn{{3}}{{c}}{{{text}}}"


def _in_brackets(unit: str) -> str:
    return escape_latex(f"({unit})") if unit else ""


def _caption(analysis: Analysis, wide: bool) -> str:
    study, unit = analysis.study, unit_of(analysis.study.metric)
    sentences = [
        f"{study.name}: {unit.name}, mean over seeds, and difference from {study.baseline} with "
        f"its 95 % confidence interval. Scope of inference: {scope_of_inference(analysis)}.",
        *(text for _, _, text in remarks(analysis)),
        matching_note(study),
        level_note(analysis),
        AA_LEGEND if study.aa_arm else "",
        load_note(study) if wide else "",
    ]
    margin = escape_latex(unit.size(study.margin))
    return f"{escape_latex(' '.join(filter(None, sentences)))} {LEGEND} (margin {margin})."


def _differences(analysis: Analysis) -> list[list[str]]:
    """Name, mean, difference, interval and mark of the verdict of every arm."""
    unit, rows = unit_of(analysis.study.metric), []
    for key, summary in analysis.summaries.items():
        control = AA_MARK if key[1] == analysis.study.aa_arm else ""
        row = [full_name(*key) + control, unit.bare(summary.mean), NONE, NONE]
        verdict = _verdict(analysis, key)
        if verdict is not None:
            low, high = (unit.difference(v, unit=False).lstrip("+") for v in verdict.interval)
            row[2:] = unit.difference(verdict.difference.estimate, unit=False), f"[{low}, {high}]"
        rows.append([*map(escape_latex, row), MARKS[verdict.kind].latex if verdict else ""])
    return rows


def _verdict(analysis: Analysis, key: Key) -> Verdict | None:
    """The verdict on an arm; None for a baseline and for an arm without one."""
    comparison = analysis.comparisons.get(key)
    ranked = comparison is not None and comparison.verdict.judged
    return comparison.verdict if ranked else None


def _p(analysis: Analysis) -> LatexColumn:
    verdicts = (_verdict(analysis, key) for key in analysis.summaries)
    shown = [NONE if verdict is None else p_value(verdict.adjusted_p) for verdict in verdicts]
    return "adj. $p$", "", [escape_latex(text) for text in shown]


def _seeds(analysis: Analysis) -> LatexColumn:
    counts = [(len(s.runs), len(s.arm.seeds)) for s in analysis.summaries.values()]
    return "Seeds", "", [f"{n}" if n == planned else f"{n}/{planned}" for n, planned in counts]


def _params(analysis: Analysis) -> LatexColumn:
    return _scaled("Params", [s.arm.params for s in analysis.summaries.values()])


def _macs(analysis: Analysis) -> LatexColumn:
    return _scaled("MACs", [s.arm.macs for s in analysis.summaries.values()])


def _step(analysis: Analysis) -> LatexColumn:
    times = (summary.arm.step_time_ms for summary in analysis.summaries.values())
    return "Step", "(ms)", ["--" if time is None else digits(time) for time in times]


def _scaled(head: str, numbers: list[int | None]) -> LatexColumn:
    """Large numbers in one unit, that of their median: k, M, G or none."""
    known = sorted(number for number in numbers if number)
    size, suffix = magnitude(known[len(known) // 2] if known else 0)
    shown = ["--" if number is None else digits(number / size) for number in numbers]
    return head, _in_brackets(suffix), shown
