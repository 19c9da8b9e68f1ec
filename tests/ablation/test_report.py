"""The report says the right thing first, escapes every name, and stands alone."""

import csv
import io
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from cnn.ablation.analysis.statistics.sequential import SPENT, AnalysisSchedule
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
from cnn.ablation.report.formatting import MINUS
from cnn.ablation.report.latex import escape_latex
from cnn.ablation.report.markdown import escape_markdown, headlines
from cnn.ablation.report.terminal import print_report
from cnn.config.errors import UserError
from tests.ablation.simulated import arm, study
from tests.conftest import REPOSITORY

EVIL = "<script>alert('x')</script>\"|a_b%$#&{}~^\\`*[l](http://evil.example)"
FORMULA = '=HYPERLINK("http://evil.example")'
VOID = {"meta", "wbr"}


class Parsed(HTMLParser):
    """Checks that tags nest, and collects attributes, scripts and text."""

    def __init__(self, page: str):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open and "script" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.text))


def small_arms(rng, gains, again=0.0, seeds=range(5), **fields) -> list[Arm]:
    """Arms with gains in logits, and the baseline again, which should have none."""
    ease = rng.normal(2.5, 1.5, 1500)
    fields = {"params": 186_000, "macs": 13_100_000, "step_time_ms": 41.0} | fields
    arms = [arm(rng, name, ease, gain, seeds, **fields) for name, gain in gains.items()]
    return [*arms, arm(rng, "max again", ease, again, range(100, 105), **fields)]


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


def unfinished(arms: list[Arm], name: str, finished: int) -> list[Arm]:
    """The arms, one of which has only begun some of its runs."""
    return [
        replace(
            one,
            seeds=tuple(
                run if i < finished else SeedRun(run.seed, run.run_dir, status="begun")
                for i, run in enumerate(one.seeds)
            ),
        )
        if one.name == name
        else one
        for one in arms
    ]


def test_a_report_over_unfinished_runs_is_interim_and_has_no_verdicts():
    arms = unfinished(small_arms(np.random.default_rng(4), {"max": 0, "blur": 3.0}), "blur", 4)
    partial = analyze(study(arms))
    assert partial.interim
    assert {c.verdict.kind for c in partial.comparisons.values()} == {"interim"}
    words = Parsed(render_html(partial)).words
    assert words.index("Interim. 14 of 15 runs have ended") < words.index("is interim")
    assert "blur is interim: 4 of 5 seeds have ended" in words
    assert "better" not in words[: words.index("Differences")].replace("higher is better", "")
    assert "There are no verdicts before the planned analysis" in render_markdown(partial)
    assert "14 of 15 runs have ended" in render_latex(partial)
    rows = list(csv.DictReader(io.StringIO(render_csv(partial))))
    assert {row["partial"] for row in rows} == {"true"}
    assert [row["finished"] for row in rows] == ["5", "4", "5"]
    assert {row["p"] for row in rows} == {""}


def test_planned_analyses_judge_only_their_seeds():
    twice = AnalysisSchedule((3, 5), planned=2)
    arms = small_arms(np.random.default_rng(5), {"max": 0, "blur": 0.7})
    early = analyze(study(unfinished(arms, "blur", 2), schedule=twice))
    assert early.interim
    assert "2 of 3 seeds have ended" in render_html(early)
    first = analyze(study(unfinished(arms, "blur", 4), schedule=twice))
    assert first.current.index == 0
    assert {len(s.runs) for s in first.summaries.values()} == {3}
    assert "analysis 1 of 2, at 3 seeds; its verdicts are valid" in render_html(first)
    assert analyze(study(arms, schedule=twice)).current.index == 1


def test_seeds_that_were_added_are_one_more_analysis():
    arms = small_arms(np.random.default_rng(5), {"max": 0, "blur": 0.3}, seeds=range(5))
    once, added = study(arms), study(arms, schedule=AnalysisSchedule((3, 5), planned=1))
    one, more = (analyze(s).comparisons["", "blur"].verdict for s in (once, added))
    assert (one.p, one.difference) == (more.p, more.difference)
    assert more.adjusted_p > one.adjusted_p  # 3.5 % were spent at 3 seeds


def lose(arms: list[Arm], name: str, count: int, status: str) -> list[Arm]:
    """The arms, one of which lost its worst runs."""
    lost = []
    for one in arms:
        if one.name == name:
            worst = sorted(one.seeds, key=lambda run: run.metrics["accuracy"])[:count]
            ended = {"error": f"it {status}", "status": status}
            runs = (SeedRun(r.seed, r.run_dir, **ended) if r in worst else r for r in one.seeds)
            one = replace(one, seeds=tuple(runs))
        lost.append(one)
    return lost


@pytest.mark.parametrize("count", [1, 6])
def test_an_arm_of_which_seeds_diverged_is_unstable_and_never_better(count):
    rng = np.random.default_rng(13)
    arms = small_arms(rng, {"max": 0, "blur": 3.0, "avg": 3.0}, seeds=range(10))
    found = analyze(study(lose(arms, "blur", count, "diverged")))
    kinds = {name: c.verdict.kind for (_, name), c in found.comparisons.items()}
    assert (kinds["blur"], kinds["avg"]) == ("unstable", "better")
    assert f"blur is unstable: {count} of 10 seeds diverged" in render_markdown(found)
    row = list(csv.DictReader(io.StringIO(render_csv(found))))[1]
    assert (row["verdict"], row["diverged"], row["difference"]) == ("unstable", str(count), "")


def test_a_metric_that_is_not_finite_diverged():
    arms = small_arms(np.random.default_rng(13), {"max": 0, "blur": 3.0})
    run = replace(arms[1].seeds[0], metrics={"accuracy": float("nan")})
    arms[1] = replace(arms[1], seeds=(run, *arms[1].seeds[1:]))
    assert analyze(study(arms)).comparisons["", "blur"].verdict.kind == "unstable"


def test_a_baseline_that_diverged_flatters_nobody():
    arms = small_arms(np.random.default_rng(13), {"max": 0, "blur": 3.0, "avg": -3.0})
    found = analyze(study(lose(arms, "max", 2, "diverged")))
    assert {c.verdict.kind for c in found.comparisons.values()} == {"unranked"}
    assert "not ranked: of the baseline, 2 of 5 seeds diverged" in render_markdown(found)


@pytest.mark.parametrize("name", ["max", "blur"])
def test_crashed_runs_leave_an_arm_unranked_until_they_are_trained(name):
    arms = small_arms(np.random.default_rng(13), {"max": 0, "blur": 3.0})
    found = analyze(study(lose(arms, name, 1, "crashed")))
    assert found.comparisons["", "blur"].verdict.kind == "unranked"
    assert "1 of 5 seeds crashed" in render_markdown(found)


def test_the_control_is_judged_outside_the_family():
    arms = small_arms(np.random.default_rng(14), {"max": 0, "blur": 0.3, "avg": 0.2})
    inside, outside = analyze(study(arms)), analyze(study(arms, aa_arm="max again"))
    assert len(outside.family) == 2
    one, other = (a.comparisons["", "blur"].verdict for a in (inside, outside))
    assert one.difference == other.difference  # by the same method, with the same variances
    control = outside.comparisons["", "max again"].verdict
    assert control.adjusted_p == pytest.approx(min(control.p / SPENT, 1.0))


def test_pairing_is_declared_and_leaves_no_run_out():
    arms = small_arms(np.random.default_rng(15), {"max": 0, "blur": 0.3, "avg": 0.2})
    runs = tuple(replace(run, seed=run.seed + 2) for run in arms[2].seeds)
    arms[2] = replace(arms[2], seeds=runs)  # of 5 seeds, 3 are shared
    declared = analyze(study(arms, paired=True))
    assert not any(c.by_seed for c in analyze(study(arms)).comparisons.values())
    assert declared.comparisons["", "blur"].by_seed
    assert not declared.comparisons["", "avg"].by_seed
    assert declared.comparisons["", "avg"].verdict.difference.seeds == (5, 5)
    assert "but for avg and max again, which ran other seeds" in render_markdown(declared)


def test_units_of_examples_are_what_is_independent():
    arms = small_arms(np.random.default_rng(16), {"max": 0, "blur": 0.6})
    alone = analyze(study(arms)).comparisons["", "blur"].verdict
    units = np.arange(1500) % 2
    clustered = analyze(study(arms, unit="/(.)_", units=units))
    found = clustered.comparisons["", "blur"].verdict
    assert found.difference.examples == 2
    assert alone.kind == "better"
    assert found.kind == "undecided"
    assert -1 <= found.interval[0] < alone.interval[0] < alone.interval[1] < found.interval[1] <= 1
    assert "limited by 2 independent test units" in render_markdown(clustered)


def tied(right: list[list[int]], examples: int, name: str) -> Arm:
    """An arm whose seeds are wrong on the examples listed."""
    tables = np.ones((len(right), examples), bool)
    for table, wrong in zip(tables, right, strict=True):
        table[wrong] = False
    runs = [
        SeedRun(i, f"runs/{name}/{i}", {"accuracy": float(t.mean())}, correct=t)
        for i, t in enumerate(tables)
    ]
    return Arm(name, seeds=tuple(runs))


def test_equal_accuracies_are_no_proof():
    same = [tied([[0, 1]] * 3, 200, name) for name in ("max", "blur")]
    found = analyze(study(same)).comparisons["", "blur"].verdict
    assert found.kind == "undecided"
    assert found.equivalence_p > 0.05
    # A constant difference that no seed departs from: one of 200 examples is no evidence.
    shifted = [tied([[0, 1]] * 3, 200, "max"), tied([[0]] * 3, 200, "blur")]
    found = analyze(study(shifted)).comparisons["", "blur"].verdict
    assert found.kind == "undecided"
    assert 0 < found.p < 1
    # On enough examples, arms that agree on all of them are equivalent.
    many = [tied([[0, 1]] * 3, 5000, name) for name in ("max", "blur")]
    assert analyze(study(many)).comparisons["", "blur"].verdict.kind == "equivalent"


def test_one_test_example_decides_nothing():
    arms = [tied([[0]] * 3, 1, "max"), tied([[]] * 3, 1, "blur")]
    found = analyze(study(arms))
    assert found.comparisons["", "blur"].verdict.kind == "undecided"
    for render in FORMATS.values():
        assert render(found)


def test_equal_values_without_outcomes_are_undecided_without_advice():
    arms = [
        Arm(name, seeds=tuple(SeedRun(i, f"{name}/{i}", {"loss": value}) for i in range(3)))
        for name, value in (("max", 0.5), ("blur", 0.25))
    ]
    found = analyze(study(arms, metric="loss", higher_is_better=False, population="seeds"))
    verdict = found.comparisons["", "blur"].verdict
    assert (verdict.kind, verdict.p, verdict.seeds_wanted) == ("undecided", 1.0, None)
    assert "its seeds do not differ" in render_markdown(found)


def test_mixed_provenance_is_told():
    arms = small_arms(np.random.default_rng(17), {"max": 0, "blur": 0.3})
    made = ("abc", "one CPU"), ("abc", "one CPU"), ("def+", "one CPU"), ("abc", "another CPU")
    runs = [
        replace(run, commit=commit, hardware=hardware)
        for run, (commit, hardware) in zip(arms[1].seeds, (*made, made[0]), strict=True)
    ]
    arms[1] = replace(arms[1], seeds=tuple(runs))
    found = analyze(study([arms[1]], baseline="blur"))
    assert found.mixed == (
        "runs of 2 commits: abc (4 runs); def+ (1 runs)",
        "runs of 2 kinds of hardware: one CPU (4 runs); another CPU (1 runs)",
        "1 of 5 runs were trained with uncommitted changes",
    )
    assert all(sentence in render_markdown(found) for sentence in found.mixed)
    assert analyze(study(arms[:1])).mixed == ()


def test_changes_of_a_study_are_told_first():
    arms = small_arms(np.random.default_rng(18), {"max": 0, "blur": 0.3})
    words = Parsed(render_html(analyze(study(arms, changed=("arm 'x' was added",))))).words
    assert words.index("Changed. arm 'x' was added.") < words.index("Differences")


def test_networks_of_other_levels_are_summed_up_relative_to_their_baselines():
    rng, arms = np.random.default_rng(19), []
    for network, level in (("plain", 0.5), ("vgg", 0.9)):
        for name, gain in (("max", 0.0), ("blur", 0.02)):
            values = level + gain + rng.normal(0, 0.002, 8)
            runs = (SeedRun(i, f"{name}/{i}", {"accuracy": v}) for i, v in enumerate(values))
            arms.append(Arm(name, network=network, seeds=tuple(runs)))
    [blur] = analyze(study(arms)).across
    assert blur.gain[0] == pytest.approx(0.02, abs=0.002)
    assert blur.gain[2] - blur.gain[1] < 0.01


def test_without_outcomes_the_verdicts_speak_for_seeds_and_say_so():
    arms = small_arms(np.random.default_rng(6), {"max": 0, "blur": 0.5}, keep=False)
    narrow = analyze(study(arms))
    assert narrow.population == "seeds"
    assert narrow.examples is None
    words = Parsed(render_html(narrow)).words
    assert "not every run kept its per-example outcomes" in words
    assert "new seeds on this fixed test set" in words


def test_a_metric_where_lower_is_better():
    rng = np.random.default_rng(7)

    def losses(name: str, centre: float) -> Arm:
        values = rng.normal(centre, 0.01, 6)
        return Arm(
            name,
            seeds=tuple(SeedRun(i, f"runs/{name}/{i}", {"loss": v}) for i, v in enumerate(values)),
        )

    compared = analyze(
        study(
            [losses("max", 0.5), losses("blur", 0.4)],
            metric="loss",
            higher_is_better=False,
            population="seeds",
        )
    )
    assert compared.comparisons["", "blur"].verdict.kind == "better"
    assert compared.orders[""].names == ("blur", "max")
    assert re.search(
        rf"blur \({MINUS}0\.[01]\d* nats\) is better than max", render_markdown(compared)
    )


def test_several_networks_are_judged_each_and_summed_up():
    rng = np.random.default_rng(8)
    arms = []
    for network in ("plain", "vgg"):
        arms += small_arms(rng, {"max": 0, "blur": 0.6}, network=network)
    several = analyze(study(arms, aa_arm="max again"))
    assert len(several.comparisons) == 4
    assert {entry.name for entry in several.across} == {"blur", "max again"}
    blur = next(entry for entry in several.across if entry.name == "blur")
    assert blur.gain[1] < blur.gain[0] < blur.gain[2]
    assert blur.improvement[0] > 0.9
    words = Parsed(render_html(several)).words
    assert "On plain, blur" in words
    assert "Across networks" in words


def test_spreadsheets_run_no_name():
    arms = small_arms(np.random.default_rng(9), {"max": 0, FORMULA: 0, "-1+1": 0, "@x": 0})
    analysis = analyze(study(arms))
    rows = list(csv.DictReader(io.StringIO(render_csv(analysis))))
    assert [row["arm"] for row in rows] == ["max", f"'{FORMULA}", "'-1+1", "'@x", "max again"]
    assert (
        float(rows[1]["difference"])
        == analysis.comparisons["", FORMULA].verdict.difference.estimate
    )


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


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"baseline": "maxx"}, "baseline: unknown arm 'maxx': did you mean 'max'"),
        ({"aa_arm": "max"}, "aa_arm: unknown arm 'max'"),
        ({"margin": 0.0}, "margin: must be a positive number"),
        ({"population": "everything"}, "population: unknown"),
    ],
)
def test_mistakes_in_a_study_are_told(fields, message):
    with pytest.raises(UserError, match=re.escape(message)):
        study([Arm("max"), Arm("blur")], **fields)


def test_runs_that_do_not_fit_together_are_told():
    arms = small_arms(np.random.default_rng(11), {"max": 0, "blur": 0})
    with pytest.raises(UserError, match="two arms have the same name"):
        study([arms[0], arms[0]])
    with pytest.raises(UserError, match="lists a seed twice"):
        study([replace(arms[0], seeds=arms[0].seeds[:1] * 2)])
    with pytest.raises(UserError, match=r"runs/max/seed_0 has no 'f1'; it has: accuracy"):
        analyze(study(arms, metric="f1"))
    run = arms[1].seeds[0]
    shorter = replace(run, correct=run.correct[:10])
    other = [arms[0], replace(arms[1], seeds=(shorter, *arms[1].seeds[1:]))]
    with pytest.raises(UserError, match="arms must be tested on the same data"):
        analyze(study(other))
    flipped = replace(run, correct=~run.correct)
    other = [arms[0], replace(arms[1], seeds=(flipped, *arms[1].seeds[1:]))]
    with pytest.raises(UserError, match="its kept predictions give an accuracy"):
        analyze(study(other))


def test_a_study_without_a_single_result_has_a_report():
    runs = tuple(SeedRun(i, f"runs/{i}", status="begun") for i in range(3))
    empty = analyze(study([Arm("max", seeds=runs), Arm("blur", seeds=runs)]))
    words = Parsed(render_html(empty)).words
    assert "0 of 6 runs have ended" in words
    assert "blur is interim: 0 of 3 seeds have ended" in words
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
    told = (console.export_text(), render_markdown(found), render_html(found), headlines(found))
    for text in told:
        assert "conv (at 3.8x the MACs: confounded) is undecided" in text
        assert "3 of 6 runs were trained with uncommitted changes" in text
        assert "runs of 3 commits" in text
    assert "uncommitted changes" in render_latex(found)
