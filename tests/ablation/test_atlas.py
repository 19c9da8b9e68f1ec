"""The pages of the atlas, from studies that are written: several rows, one of them missing."""

import re
from dataclasses import replace

import pytest

from benchmarks.atlas import PAGE, page, row_plans, rows_now
from cnn.ablation.atlas.pages import atlas_html, atlas_markdown, front
from cnn.ablation.atlas.rows import BESIDE, RowPlan, agreement, read_row, read_rows, write_rows
from cnn.ablation.planning.runs import arms_of
from cnn.config.metric import METRICS
from cnn.layers import DOWNSAMPLERS
from configs.ablations.atlas import LEFT_OUT
from tests.ablation.written import plan_of, write_study

OPERATORS = {"max": "max", "average": "avg", "max blur": "max_blur(taps=4)"}
ACCURACIES = {"max": 0.70, "average": 0.60, "max blur": 0.80}
CONSISTENCIES = {"max": 0.80, "average": 0.85, "max blur": 0.97}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas")
    plan = plan_of(OPERATORS, suites=("shift", "calibration"))
    write_study(folder / "images", plan, ACCURACIES, CONSISTENCIES)
    others = plan_of({"max": "max", "max APS": "max_aps", "mixed": "mixed"}, suites=("shift",))
    write_study(folder / "images_others", others, {"max": 0.7, "max APS": 0.72}, {"max APS": 1.0})
    # In the second row one seed of an arm has not run, and the order of two arms is another.
    write_study(folder / "sounds", plan_of(OPERATORS), ACCURACIES | {"average": 0.9})
    late = arms_of(plan_of(OPERATORS), folder / "sounds")["max blur"][-1]
    for file in late.folder.iterdir():
        file.unlink()
    late.folder.rmdir()
    names = ("max", "average", "max blur", "max APS", "mixed")
    made = [
        RowPlan(
            name,
            f"a network, {name}",
            {folder / name: f"run {name}", folder / f"{name}_others": f"run {name},others"},
            names,
        )
        for name in ("images", "sounds", "clips")
    ]
    found = [read_row(plan, folder) for plan in made]
    write_rows(found, folder / "atlas.json")
    assert read_rows(folder / "atlas.json")[0].entries[0].name == "max blur"
    return read_rows(folder / "atlas.json")


def test_a_row_has_every_operator_in_its_order_with_what_was_measured(rows):
    images = rows[0]
    ranks = [(entry.name, entry.rank) for entry in images.entries]
    assert ranks == [("max blur", 1), ("max APS", 2), ("max", 3), ("average", 4)]
    blur, worst = images.entries[0], next(e for e in images.entries if e.name == "average")
    assert (blur.kind, worst.kind) == ("better", "worse")
    assert blur.accuracy[0] == pytest.approx(0.8, abs=0.01)
    assert blur.difference[0] == pytest.approx(0.1, abs=0.01)
    assert blur.beside["circular"] == pytest.approx(0.97, abs=0.01)
    assert blur.beside["crops"] == pytest.approx(0.92, abs=0.01)
    assert blur.beside["ECE"] == pytest.approx(0.03, abs=0.01)
    assert blur.macs > 0
    assert blur.parameters > 0
    assert blur.step == pytest.approx(10.0)
    assert images.missing == ("mixed",)
    assert images.commands == ("run images,others",)
    own = r"images_others: A separate study: its operators are compared with its own max, (69|70)\."
    assert any(re.match(own, sentence) for sentence in images.remarks)
    zhang = images.claims["zhang2019"]
    assert (zhang.word, zhang.words) == ("replicated", ("replicated", "replicated"))
    assert re.fullmatch(r"replicated: \+1\d\.\d\d pp \(\+.* to \+.*\)", zhang.statements[0])
    assert images.claims["summers2021"].word == "not tested"
    # From the study of the row that has the arms.
    assert images.claims["chaman2021"].words == ("replicated", "replicated", "not tested")
    assert rows[1].claims["zhang2019"].statements[1] == "undecided: max blur is interim"


def test_rows_that_have_not_run_say_so_and_how_to_go_on(rows):
    text = atlas_markdown(rows, "../results/atlas")
    clips = text.partition("## A network, clips")[2].partition("## ")[0]
    assert "Not run: max, average, max blur, max APS, mixed." in clips
    assert "To run: `run clips`, `run clips,others`." in clips
    assert "| not run |" in text.partition("## Claims")[2]
    sounds = text.partition("## A network, sounds")[2].partition("## ")[0]
    assert "11 of 12 runs finished" in sounds
    assert "3/4" in sounds
    assert "To run: `run sounds`, `run sounds,others`." in sounds
    # No verdict is told before all seeds are in.
    assert "better" not in sounds.replace("There are no verdicts", "")


def test_a_table_has_only_the_columns_that_were_measured(rows):
    text = atlas_markdown(rows, "../results/atlas")
    heads = [line for line in text.splitlines() if line.startswith("| rank | operator |")]
    assert "circular, % | crops, % | ECE, %" in heads[0]
    assert "in time" not in heads[0]
    assert not re.search("circular|crops|ECE|in time", heads[1])
    assert "in time" not in atlas_html(rows).partition("<table")[2].partition("</thead>")[0]


def test_every_further_column_is_a_metric_that_a_suite_declares():
    assert set(BESIDE.values()) <= set(METRICS)


def test_a_column_is_there_where_a_study_measured_it(rows):
    entries = [replace(e, beside={"in time": 0.905}) for e in rows[1].entries]
    text = atlas_markdown([replace(rows[1], entries=tuple(entries))], ".")
    assert "| verdict | in time, % | MACs |" in text
    assert text.count("| 90.5 |") == len(entries)


def test_ranks_are_compared_over_the_rows_that_have_them(rows):
    assert agreement(rows) is None  # Of the second row one arm is not complete.
    names, w = agreement([rows[0], rows[0]])
    assert set(names) == {"max blur", "max APS", "max", "average"}
    assert w == pytest.approx(1.0)
    assert "Kendall's W = 1.00 over 2 tasks" in atlas_markdown([rows[0], rows[0]], ".")
    fewer = replace(rows[0], entries=rows[0].entries[1:])  # Ranked 2, 3 and 4 in this row.
    table = atlas_markdown([fewer, rows[0]], ".").partition("## Across tasks")[2]
    assert "| max APS | 1 | 1 |" in table
    assert "| average | 3 | 3 |" in table


def test_the_front_says_what_differs_in_five_lines(rows):
    front_lines = front(rows).splitlines()
    assert len(front_lines) <= 5
    assert "max pooling, in pp, on images (a network, images);" in front_lines[0]
    assert re.search(r"Better: max blur \(\+(9\.9|10\.0|10\.1)\d\D*\)\.$", front_lines[1])
    # The study of max APS lacks an arm, so it has no verdict yet.
    assert re.search(r"Worse: average \(.*\)\. Neither: max APS \(interim\)\.$", front_lines[2])
    consistency = (
        r"pixels: 100.0 % for max APS, (79|80)\.\d % for max pooling; under random crops: "
    )
    assert re.search(consistency, front_lines[3])
    answers = "4 replicated, 0 smaller, 0 refuted, "
    assert f"tested on 1 task at this small scale: {answers}" in front_lines[4]
    assert front([rows[2]]) == "No task is complete yet."


def test_the_front_compares_tasks(rows):
    """The second task has another baseline, so other differences."""
    other = {"max blur": ("worse", -0.01), "average": ("undecided", 0.002), "max APS": ("worse", 0)}
    entries = [
        replace(e, kind=other[e.name][0], difference=(other[e.name][1], -0.1, 0.1), rank=5 - e.rank)
        for e in rows[0].entries
        if e.name in other
    ]
    base = next(e for e in rows[0].entries if e.kind == "baseline")
    second = replace(rows[0], name="other", entries=(*entries, base))
    tasks, better, worse, *_, last = front([rows[0], second]).splitlines()
    assert "on images (a network, images) / other (a network, images)" in tasks
    assert "(?: undecided; " in tasks
    worse_once = r"- Worse on at least one task: average .* / \+0\.20\?\) and max APS .*\)\."
    assert re.fullmatch(worse_once, better)
    minus = "\N{MINUS SIGN}"
    assert f"Better on one task, worse on another: max blur (+9.98 / {minus}1.00" in worse
    assert "the ranking of 4 operators: Kendall's W = " in last


def test_the_front_marks_what_has_not_run_on_a_task(rows):
    first = replace(rows[0], entries=tuple(e for e in rows[0].entries if e.name != "average"))
    tasks, *_ = lines = front([first, rows[0]]).splitlines()
    assert "(\N{EN DASH}: not run; " in tasks
    assert any("average (\N{EN DASH} / \N{MINUS SIGN}" in line for line in lines)


def test_a_name_that_ends_with_a_bracket_keeps_one_pair(rows):
    names = {"average": "average (equal MACs)"}
    entries = [replace(e, name=names.get(e.name, e.name)) for e in rows[0].entries]
    text = front([replace(rows[0], entries=tuple(entries))])
    assert re.search(r"average \(equal MACs; \N{MINUS SIGN}\d+\.\d\d[^()]*\)", text)
    assert ") (" not in text.partition("Worse")[2].partition("\n")[0]


def test_the_front_says_which_differences_are_confounded(rows):
    def lines_of(confounded):
        entries = [replace(e, confounded=e.name == confounded) for e in rows[0].entries]
        return front([replace(rows[0], entries=tuple(entries))]).splitlines()

    assert "onfounded" not in "".join(lines_of(""))
    first, _, worse, *_ = lines_of("average")
    assert first.endswith("(confounded: two or more other factors differ, such as MACs).")
    assert re.search(r"Worse: average \(\S+, confounded\)\.", worse)


def test_the_page_sorts_and_loads_nothing(rows):
    text = atlas_html(rows)
    assert text.count('<table class="sortable">') == 3  # two rows that ran, and the claims
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "100.0" in text


def test_the_committed_page_is_that_of_the_committed_numbers():
    assert PAGE.read_text() == page(rows_now())


def test_every_operator_of_the_registry_has_its_place():
    for plan in row_plans():
        matched = [name for name in plan.operators if name.endswith("(equal MACs)")]
        assert matched == ["strided conv (equal MACs)", "all conv (equal MACs)"]
        assert len(plan.operators) == len(DOWNSAMPLERS) - len(LEFT_OUT) + len(matched)
