"""LaTeX tables that compile and fit their column, tables of several studies, and the screen."""

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from cnn.ablation.analysis.collect import trained_together
from cnn.ablation.analysis.study_analysis import Analysis, analyze
from cnn.ablation.planning.runs import Run
from cnn.ablation.report import (
    combined,
    render_html,
    render_latex,
    render_markdown,
    render_wide_latex,
)
from cnn.ablation.report.formatting import abbreviated, digits, milliseconds
from cnn.ablation.report.matching_text import matching_note
from cnn.ablation.report.terminal import print_report
from cnn.config.atomic import write_atomically
from cnn.config.errors import UserError
from tests.ablation.simulated import arm, study

NAMES = {"max": 0, "strided conv": 0.6, "max blur, 4 taps": -0.6, "a_b & 5 % #1": 0.02}
# The two-column format of ICML: 3.25 inches a column, 6.75 inches the page.
DOCUMENT = r"""
\documentclass[10pt,twocolumn]{article}
\usepackage{booktabs}
\usepackage[letterpaper,textwidth=6.75in,columnsep=0.25in]{geometry}
\begin{document}
%s
See Tables~\ref{%s} and~\ref{%s}.
\end{document}
"""


def analysis_of(name: str, **fields) -> Analysis:
    rng = np.random.default_rng(0)
    ease = rng.normal(2.5, 1.5, 1500)
    cost = {"params": 1_234_567, "macs": 41_200_000, "step_time_ms": 1083.4}
    arms = [arm(rng, arm_name, ease, gain, range(4), **cost) for arm_name, gain in NAMES.items()]
    arms[1] = replace(arms[1], params=250_000, overrides=("model.features=8,16",))
    return analyze(study(arms, name=name, **fields))


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analysis_of("Pooling & blur: 50 % of CIFAR-10", match="width")


def rows_of(latex: str) -> list[list[str]]:
    """The cells of all rows of a table."""
    body = latex[latex.index(r"\toprule") : latex.index(r"\bottomrule")]
    return [re.split(r"(?<!\\)&", line) for line in body.splitlines() if line.endswith(r"\\")]


def shown(cell: str) -> str:
    """About what is printed of a cell."""
    cell = re.sub(r"\\multicolumn\{\d\}\{c\}\{(.*?)\}|\$\\\w+\$", r"\1x", cell)
    return re.sub(r"\\(.)|\$", r"\1", cell).strip(" \\")


def test_a_table_fits_its_column_and_its_cells_hold_no_sentences(analysis):
    # About what 234 and 486 points of footnotesize hold, less the space between columns.
    for latex, most in ((render_latex(analysis), 54), (render_wide_latex(analysis), 110)):
        rows = rows_of(latex)
        assert len(rows) == len(NAMES) + 2
        widths = [max(map(len, map(shown, column))) for column in zip(*rows[2:], strict=True)]
        assert sum(widths) <= most
        assert all(len(shown(cell).split()) <= 6 for row in rows for cell in row)
        assert latex.startswith("% Needs \\usepackage{booktabs}.")
        assert r"\label{tab:pooling_blur_50_of_cifar_10" in latex


def test_numbers_stand_in_units_that_suit_them(analysis):
    assert milliseconds(1083.4) == "1.08 s"
    assert milliseconds(57) == "57.0 ms"
    assert milliseconds(999.9) == "1.00 s"
    assert abbreviated(999_999) == "1 M"
    assert digits(1083.4) == "1080"
    assert digits(0.001234) == "0.00123"
    heads, units, first = rows_of(render_wide_latex(analysis))[:3]
    found = {
        shown(h): (shown(u), shown(v))
        for h, u, v in zip(heads[-3:], units[-3:], first[-3:], strict=True)
    }
    assert found == {"Params": ("(M)", "1.23"), "MACs": ("(M)", "41.2"), "Step": ("(ms)", "1080")}


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no TeX on this machine")
def test_the_tables_compile_and_are_no_wider_than_their_columns(analysis, tmp_path):
    several = combined.studies_latex([analysis, analysis_of("Other")])
    tables = [render_latex(analysis), render_wide_latex(analysis), several]
    labels = re.findall(r"\\label\{(.*?)\}", "".join(tables))
    (tmp_path / "all.tex").write_text(DOCUMENT % ("\n".join(tables), *labels[:2]))
    for _ in range(2):  # the second time with the numbers of the tables
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout
    assert "Overfull" not in done.stdout
    assert "undefined" not in done.stdout


def test_several_studies_stand_in_one_table(analysis, tmp_path):
    other = analysis_of("Other")
    other = analyze(replace(other.study, arms=other.study.arms[:3]))
    files = {p.name: p.read_text() for p in combined.write_studies([analysis, other], tmp_path)}
    lines = [re.split(r"(?<!\\)\|", line) for line in files["studies.md"].splitlines()[:6]]
    assert [line[1].strip() for line in lines[2:]] == [
        "max",
        "strided conv",
        "max blur, 4 taps",
        "a_b & 5 % \\#1".replace("&", "&amp;"),
    ]
    assert lines[5][3].strip() == ""
    assert "▲" in lines[3][2]
    assert "▼" in lines[4][3]
    rows = files["studies.csv"].splitlines()
    assert len(rows) == 1 + 4 + 3
    assert {row.partition(",")[0] for row in rows[5:]} == {"Other"}
    assert "(b) Other" in files["studies.tex"]
    with pytest.raises(UserError, match="the same name"):
        combined.write_studies([analysis, analysis], tmp_path)


def test_what_arms_were_matched_by_stands_in_every_format(analysis, tmp_path):
    note = "Arms are matched to max in MACs per example by model.features: strided conv 8,16."
    assert matching_note(analysis.study) == note
    assert note in render_markdown(analysis)
    assert note in render_html(analysis)
    for latex in (render_latex(analysis), render_wide_latex(analysis)):
        assert note in latex
        assert "0.250" in latex  # million parameters, of 1.23
    assert "model.features=8,16" in render_markdown(analysis)
    assert matching_note(analysis_of("Other").study) == ""


def test_runs_that_trained_at_the_same_time_are_under_load(tmp_path):
    def runs(*spans: tuple[float, float]) -> list[Run]:
        made = []
        for i, span in enumerate(spans):
            folder = tmp_path / f"{len(spans)}-{spans[0][0]}-{i}"
            row = {"step": 1, "split": "train", "name": "loss", "value": 1.0}
            lines = [json.dumps(row | {"time": time}) for time in span]
            write_atomically(folder / "metrics.jsonl", "\n".join(lines) + "\n")
            made.append(Run("max", i, folder, "", ()))
        return made

    assert not trained_together(runs((0.0, 5.0), (6.0, 9.0)))
    assert not trained_together([*runs((0.0, 5.0)), Run("max", 9, tmp_path / "none", "", ())])
    assert trained_together(runs((3.0, 9.0), (0.0, 4.0)))


def test_step_times_under_load_are_called_so_and_are_not_plotted():
    alone, loaded = (analysis_of("Other", under_load=under) for under in (False, True))
    note = "Step times were measured under load: other runs of the study trained at the same time."
    for analysis, count in ((alone, 0), (loaded, 1)):
        page = render_html(analysis)
        assert page.count(note) == render_markdown(analysis).count(note) == count
        assert render_wide_latex(analysis).count(note) == count
        assert ("Time per training step" in page) == (not count)
        assert "MACs per example" in page


def test_the_screen_shows_verdicts_the_table_and_the_paths_and_not_the_source(analysis, tmp_path):
    console = Console(record=True, width=120, file=io.StringIO())
    print_report(analysis, [tmp_path / "report.html"], console)
    text = console.export_text()
    assert text.index("▲ strided conv") < text.index("baseline") < text.index("report.html")
    assert "a_b & 5 % #1" in text
    assert analysis.study.config not in text
    assert len(text.splitlines()) < 25


@pytest.mark.parametrize("metric", ["accuracy", "shift_consistency"])
def test_eighty_columns_break_no_name_and_leave_out_no_number(metric):
    rng = np.random.default_rng(0)
    arms = [arm(rng, name, np.zeros(200), 0.0, range(3)) for name in ("max", "logsumexpmean")]
    console = Console(record=True, width=80, file=io.StringIO())
    print_report(analyze(study(arms, metric=metric, population="seeds")), [], console)
    text = console.export_text()
    table = text[text.index("  arm ") :]
    assert "logsumexpmean" in table
    assert "…" not in table
    assert table.count("3/3") == 2
    assert all(len(line) <= 80 for line in text.splitlines())
