"""report.tex: the table of arms with booktabs rules, ready to be \\input."""

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.report import words
from cnn.ablation.report.rows import HEADS, arm_rows

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
    '"': r"\textquotedbl{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{INFINITY}": r"$\infty$",
}


def escape_latex(text: str) -> str:
    """Makes text mean itself in LaTeX, on one line."""
    return "".join(ESCAPES.get(c, c) for c in " ".join(text.split()))


def render_latex(analysis: Analysis) -> str:
    """Returns a table environment; needs the packages booktabs and (for quotes) T1 fonts."""
    study = analysis.study
    remarks = [words.doubt(analysis), words.status(analysis), words.population_note(analysis)]
    caption = " ".join(
        [
            f"{study.name}: {study.metric} by arm; differences from {study.baseline}, "
            f"for {words.population(analysis)}.",
            *(remark for remark in remarks if remark),
        ]
    )
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\begin{{tabular}}{{ll{'r' * (len(HEADS) - 2)}}}",
        r"\toprule",
        _line(list(HEADS)),
        r"\midrule",
        *(_line(row.cells()) for row in arm_rows(analysis)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return " & ".join(escape_latex(cell) for cell in cells) + r" \\"
