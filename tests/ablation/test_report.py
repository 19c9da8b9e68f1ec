"""The report says the right thing first, escapes every name, and stands alone."""

import csv
import io
import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from cnn.ablation.analysis.study_analysis import Analysis, analyze
from cnn.ablation.analysis.study_results import Arm, SeedRun, Study
from cnn.ablation.report import (
    FORMATS,
    render_csv,
    render_html,
    render_latex,
    render_markdown,
    render_svg,
    write_report,
)
from cnn.ablation.report.decision_rule import decision_rule
from cnn.ablation.report.formatting import MINUS
from cnn.ablation.report.latex import escape_latex
from cnn.ablation.report.markdown import escape_markdown, headlines
from cnn.ablation.report.spreadsheet import HEADS
from cnn.ablation.report.terminal import print_report
from cnn.ablation.report.verdict_text import what_would_decide
from cnn.ablation.statistics.difference import Difference
from cnn.ablation.statistics.verdict import Verdict
from tests.ablation.parsed import Parsed
from tests.ablation.simulated import arm, small_arms, study
from tests.conftest import REPOSITORY

EVIL = "<script>alert('x')</script>\"|a_b%$#&{}~^\\`*[l](http://evil.example)"
FORMULA = '=HYPERLINK("http://evil.example")'


@pytest.fixture(scope="module")
def full() -> Study:
    arms = small_arms(
        np.random.default_rng(0), {"max": 0, "blur": 0.6, "avg": -0.6, "aps": 0.02, EVIL: 0.1}
    )
    failed = SeedRun(0, "runs/lp/seed_0", status="crashed", error="the loss is not finite")
    return study([*arms, Arm("lp", seeds=(failed,))], aa_arm="max again", margin=0.02)


@pytest.fixture(scope="module")
def analysis(full) -> Analysis:
    return analyze(full)


@pytest.fixture(scope="module")
def page(analysis) -> Parsed:
    return Parsed(render_html(analysis))


def test_the_verdict_comes_first_in_words(analysis, page):
    kinds = {key[1]: c.verdict.kind for key, c in analysis.comparisons.items()}
    assert (kinds["blur"], kinds["avg"], kinds["lp"]) == ("better", "worse", "unranked")
    start = page.words[: page.words.index("Differences")]
    assert re.search(r"blur \(\+\d+\.\d\d pp\) is better than max", start)
    assert re.search(rf"avg \({MINUS}\d+\.\d\d pp\) is worse than max", start)
    assert "lp is not ranked: 1 of 1 seed crashed; the same command trains them again" in start
    assert "lp: 1 of 1 seed crashed (seed 0): the loss is not finite" in start
    assert "no significant difference" in start
    assert "in doubt" not in start
    assert "Partial" not in start


def test_the_page_stands_alone(page):
    assert not {"link", "img", "iframe", "object", "base"} & set(page.tags)
    for tag, name, value in page.attributes:
        if name in ("href", "src", "action", "xlink:href"):
            assert tag == "a"
            assert value.startswith("./runs/")
    sources = render_html(analyze(study(small_arms(np.random.default_rng(1), {"max": 0}))))
    assert "http://" not in sources
    assert "https://" not in sources
    assert "@import" not in sources
    assert "url(" not in sources


def test_names_stay_names_in_the_page(page):
    assert page.tags.count("script") == 1
    assert "alert('x')" in page.words
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def test_run_folders_cannot_lead_elsewhere():
    rng = np.random.default_rng(2)
    arms = small_arms(rng, {"max": 0, "blur": 0})
    places = ["javascript:alert(1)", "//evil.example/x", "../other run/é", '"><script>', "a?b#c"]
    runs = [replace(run, run_dir=p) for run, p in zip(arms[1].seeds, places, strict=True)]
    arms[1] = replace(arms[1], seeds=tuple(runs))
    found = {v for t, n, v in Parsed(render_html(analyze(study(arms)))).attributes if n == "href"}
    expected = {
        "./javascript%3Aalert%281%29",
        "/evil.example/x",
        "../other%20run/%C3%A9",
        "./%22%3E%3Cscript%3E",
        "./a%3Fb%23c",
    }
    assert expected <= found


def test_every_run_is_linked_and_every_seed_is_a_dot(full, page):
    links = [value for tag, name, value in page.attributes if tag == "a" and name == "href"]
    for one in full.arms:
        for run in one.seeds:
            wanted = 2 if run.status == "finished" else 1  # its dot and its cell
            quoted = [link for link in links if link.endswith(f"/seed_{run.seed}")]
            assert len(quoted) >= wanted
    dots = [1 for tag, name, v in page.attributes if (tag, name, v) == ("circle", "class", "dot")]
    assert len(dots) == sum(len(one.finished) for one in full.arms)


def test_a_different_control_puts_the_verdicts_in_doubt():
    arms = small_arms(np.random.default_rng(3), {"max": 0, "blur": 0.5}, again=0.8)
    doubtful = analyze(study(arms, aa_arm="max again"))
    words = Parsed(render_html(doubtful)).words
    assert doubtful.doubtful
    assert words.index("Verdicts in doubt.") < words.index("is better than max")
    assert "Every verdict below is in doubt" in render_markdown(doubtful)
    assert "in doubt" in render_latex(doubtful)
    assert {row["in_doubt"] for row in csv.DictReader(io.StringIO(render_csv(doubtful)))} == {
        "true"
    }


def test_changes_of_a_study_are_reported_first():
    arms = small_arms(np.random.default_rng(18), {"max": 0, "blur": 0.3})
    words = Parsed(render_html(analyze(study(arms, changed=("arm 'x' was added",))))).words
    assert words.index("Changed. arm 'x' was added.") < words.index("Differences")


def test_spreadsheets_run_no_name():
    arms = small_arms(np.random.default_rng(9), {"max": 0, FORMULA: 0, "-1+1": 0, "@x": 0})
    analysis = analyze(study(arms))
    rows = list(csv.DictReader(io.StringIO(render_csv(analysis))))
    assert [row["arm"] for row in rows] == ["max", f"'{FORMULA}", "'-1+1", "'@x", "max again"]
    difference = analysis.comparisons["", FORMULA].verdict.difference.estimate
    assert float(rows[1]["difference"]) == float(f"{difference:.6g}")


def test_latex_and_markdown_names_mean_themselves(analysis):
    assert escape_latex("a_b & 100 % {x}\\y") == r"a\_b \& 100 \% \{x\}\textbackslash{}y"
    assert escape_markdown("a|b\n<c> *d* [e](f) g_h _i_") == (
        r"a\|b &lt;c&gt; \*d\* \[e\](f) g_h \_i\_"
    )
    latex = render_latex(analysis)
    rows = latex[latex.index(r"\midrule") : latex.index(r"\bottomrule")].splitlines()[1:]
    assert len(rows) == len(analysis.study.arms)
    assert all(len(re.findall(r"(?<!\\)&", row)) == 5 for row in rows)
    table = [line for line in render_markdown(analysis).splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {14}


def test_the_study_file_cannot_leave_its_code_block():
    arms = small_arms(np.random.default_rng(10), {"max": 0})
    text = "```\n# not a title </code></pre><script>\n````"
    analysis = analyze(study(arms, config=text))
    markdown = render_markdown(analysis)
    assert f"`````python\n{text}\n`````" in markdown
    assert Parsed(render_html(analysis)).tags.count("script") == 1


def test_all_formats_are_written_and_written_alike_again(analysis, full, tmp_path):
    first = {path.name: path.read_text() for path in write_report(analysis, tmp_path)}
    again = {path.name: path.read_text() for path in write_report(analyze(full), tmp_path)}
    assert set(first) == set(FORMATS)
    assert first == again


def test_a_study_without_a_single_result_has_a_report():
    runs = tuple(SeedRun(i, f"runs/{i}", status="begun") for i in range(3))
    empty = analyze(study([Arm("max", seeds=runs), Arm("blur", seeds=runs)]))
    words = Parsed(render_html(empty)).words
    assert "0 of 6 runs finished" in words
    assert "blur is interim: 0 of 3 seeds finished" in words
    for render in FORMATS.values():
        assert render(empty)


def test_what_was_logged_once_is_no_curve():
    arms = small_arms(np.random.default_rng(1), {"max": 0})
    assert "Learning curves" in Parsed(render_html(analyze(study(arms)))).words
    once = {"validation/accuracy": [(10.0, 0.5)]}
    arms = [replace(a, seeds=tuple(replace(r, history=once) for r in a.seeds)) for a in arms]
    assert "Learning curves" not in Parsed(render_html(analyze(study(arms)))).words


def test_a_report_needs_no_accelerator_library():
    code = "import sys, cnn.ablation.report; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_an_arm_far_off_does_not_squeeze_the_others():
    rng = np.random.default_rng(12)
    arms = small_arms(rng, {"max": 0, "blur": 0.2, "aps": -0.1, "broken": -6.0})
    attributes = Parsed(render_html(analyze(study(arms)))).attributes
    style = next(v for t, n, v in attributes if n == "style" and v.startswith("--zero"))
    width = float(re.search(r"--width:([\d.]+)%", style)[1])
    assert width > 4  # the margin of 0.5 points beside a difference of 60


def test_the_figure_is_well_formed_and_shows_every_finished_seed(full):
    hostile = replace(full.arms[1], name="<b>&\"blur'")
    drawn = ElementTree.fromstring(
        render_svg(analyze(replace(full, arms=(full.arms[0], hostile, *full.arms[2:]))))
    )
    tags = [element.tag.rpartition("}")[2] for element in drawn.iter()]
    texts = ["".join(element.itertext()) for element in drawn.iter()]
    finished = [run for arm in full.arms for run in arm.seeds if run.status == "finished"]
    assert tags.count("circle") == len(finished)
    assert "<b>&\"blur'" in texts
    assert full.name in texts
    assert not {"script", "image", "foreignObject"} & set(tags)


def test_every_headline_tells_costs_and_mixed_provenance():
    rng = np.random.default_rng(0)
    ease = rng.normal(2.5, 1.5, 400)
    arms = [arm(rng, name, ease, 0.0, range(3), params=100, macs=100) for name in ("max", "conv")]
    arms[1] = replace(arms[1], macs=380, differs=("MACs", "maximum"))
    runs = [replace(run, commit=f"{'ab'[i % 2]}+") for i, run in enumerate(arms[0].seeds)]
    found = analyze(study([replace(arms[0], seeds=tuple(runs)), arms[1]]))
    console = Console(record=True, width=300)
    print_report(found, [], console)
    output = (console.export_text(), render_markdown(found), render_html(found), headlines(found))
    for text in output:
        assert "conv (at 3.8x the MACs: confounded) is undecided" in text
        assert "3 of 6 runs were trained with uncommitted changes" in text
        assert "runs of 3 commits" in text
    assert "uncommitted changes" in render_latex(found)


def test_arms_at_chance_level_are_remarked():
    rng = np.random.default_rng(4)
    guesses = [arm(rng, name, np.full(300, -0.7), 0.0, range(3)) for name in ("max", "blur")]
    learned = arm(rng, "conv", np.full(300, 2.0), 0.0, range(3))
    every = render_markdown(analyze(study(guesses, chance=1 / 3)))
    assert "> **Chance level.** The 95 % interval of every arm contains" in every
    assert "most frequent class (33.33 %)" in every
    assert "95 % interval of max and blur contains" in render_markdown(
        analyze(study([*guesses, learned], chance=1 / 3))
    )
    unremarked = (
        study(guesses),  # its classes are not known
        study([*guesses, learned], baseline="conv", chance=1 / 3),
    )
    assert not any("Chance level" in render_markdown(analyze(one)) for one in unremarked)


def test_a_mean_of_equal_seeds_without_outcomes_has_no_interval():
    values = {"max": (0.5, 0.6, 0.7), "blur": (1 / 3, 1 / 3, 1 / 3)}
    arms = [
        Arm(n, seeds=tuple(SeedRun(i, f"{n}/{i}", {"accuracy": v}) for i, v in enumerate(each)))
        for n, each in values.items()
    ]
    found = analyze(study(arms, population="seeds"))
    assert "| 33.33 % | n/a (all seeds equal) |" in render_markdown(found)
    assert "n/a (all seeds equal)" in render_html(found)
    assert not re.search(r"\bnan\b", render_html(found))
    [_, row] = csv.DictReader(io.StringIO(render_csv(found)))
    assert (row["mean_low"], row["mean_high"]) == ("", "")


def test_an_undecided_arm_whose_interval_excludes_zero_is_explained():
    def arms(gap: float) -> list[Arm]:
        values = {"max": (0.80, 0.81, 0.82), "blur": (0.80 + gap, 0.81 + gap, 0.82 + gap)}
        return [
            Arm(n, seeds=tuple(SeedRun(i, f"{n}/{i}", {"accuracy": v}) for i, v in enumerate(each)))
            for n, each in values.items()
        ]

    # Student's t with 4 degrees of freedom: p is 0.04, between alpha = 0.035 and 0.05.
    between, clear = (analyze(study(arms(gap), population="seeds")) for gap in (0.0245, 0.005))
    assert between.comparisons["", "blur"].verdict.kind == "undecided"
    note = (
        "blur: undecided although the 95 % interval excludes 0, because verdicts use alpha = 0.035"
    )
    console = Console(record=True, width=300)
    print_report(between, [], console)
    for text in (console.export_text(), render_markdown(between), render_html(between)):
        assert note in text
    assert "although" not in render_markdown(clear)


def test_the_control_is_marked_and_mentioned_only_if_there_is_one(analysis):
    rows = {row["arm"]: row["control"] for row in csv.DictReader(io.StringIO(render_csv(analysis)))}
    assert [name for name, control in rows.items() if control == "true"] == ["max again"]
    assert "max again (A/A) &" in render_latex(analysis)
    assert "A/A: the baseline with other seeds." in render_latex(analysis)
    assert "independent between arms, including the A/A control" in render_markdown(analysis)
    without = analyze(study(small_arms(np.random.default_rng(0), {"max": 0})))
    assert "independent between arms." in render_markdown(without)
    assert "A/A" not in render_markdown(without) + render_latex(without)


def test_every_column_of_the_spreadsheet_is_documented():
    page = (REPOSITORY / "docs" / "studies.md").read_text()
    first = re.findall(r"^\| (`.*?`) \|", page, re.M)
    documented = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    assert not set(HEADS) - documented


def test_what_nothing_decides_says_so_without_a_number(analysis):
    rule = next(s for s in decision_rule(analysis) if s.startswith("Undecided"))
    assert "Where given, the number of further seeds" in rule
    known = analysis.comparisons["", "blur"]
    seeds_only = Difference(0.02, (1e-4, 1e-4), (3, 3))
    both = replace(seeds_only, example_variance=1e-4, examples=60)
    for difference, words in (
        (seeds_only, "more seeds will not help (even 10,000 would probably not be enough)"),
        (both, "and even 12 seeds would probably not decide it on a test set of any size"),
    ):
        undecided = replace(known, verdict=Verdict("undecided", difference))
        assert words in what_would_decide(analysis, undecided)
