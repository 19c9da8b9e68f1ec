"""Who is judged, against whom, and what lost or unfinished runs do to it."""

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest

from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.analysis.study_results import Arm, SeedRun
from cnn.ablation.report import FORMATS, render_csv, render_html, render_latex, render_markdown
from cnn.ablation.report.formatting import MINUS
from cnn.ablation.statistics.sequential import SPENT, AnalysisSchedule
from cnn.config.errors import UserError
from tests.ablation.parsed import Parsed
from tests.ablation.simulated import lose, small_arms, study, tied, unfinished


def test_a_report_over_unfinished_runs_is_interim_and_has_no_verdicts():
    arms = unfinished(small_arms(np.random.default_rng(4), {"max": 0, "blur": 3.0}), "blur", 4)
    partial = analyze(study(arms))
    assert partial.interim
    assert {c.verdict.kind for c in partial.comparisons.values()} == {"interim"}
    words = Parsed(render_html(partial)).words
    assert words.index("Interim. 14 of 15 runs finished") < words.index("is interim")
    assert "blur is interim: 4 of 5 seeds finished" in words
    assert "better" not in words[: words.index("Differences")].replace("higher is better", "")
    assert "There are no verdicts before the planned analysis" in render_markdown(partial)
    assert "14 of 15 runs finished" in render_latex(partial)
    rows = list(csv.DictReader(io.StringIO(render_csv(partial))))
    assert {row["partial"] for row in rows} == {"true"}
    assert [row["finished"] for row in rows] == ["5", "4", "5"]
    assert {row["p"] for row in rows} == {""}


def test_planned_analyses_judge_only_their_seeds():
    twice = AnalysisSchedule((3, 5), planned=2)
    arms = small_arms(np.random.default_rng(5), {"max": 0, "blur": 0.7})
    early = analyze(study(unfinished(arms, "blur", 2), schedule=twice))
    assert early.interim
    assert "2 of 3 seeds finished" in render_html(early)
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
    assert "not ranked: in the baseline, 2 of 5 seeds diverged" in render_markdown(found)


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
    assert "except for avg and max again, which ran other seeds" in render_markdown(declared)


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


def test_mixed_provenance_is_reported():
    arms = small_arms(np.random.default_rng(17), {"max": 0, "blur": 0.3})
    made = ("abc", "one CPU"), ("abc", "one CPU"), ("def+", "one CPU"), ("abc", "another CPU")
    runs = [
        replace(run, commit=commit, hardware=hardware)
        for run, (commit, hardware) in zip(arms[1].seeds, (*made, made[0]), strict=True)
    ]
    arms[1] = replace(arms[1], seeds=tuple(runs))
    found = analyze(study([arms[1]], baseline="blur"))
    assert found.provenance == (
        ("Mixed.", "runs of 2 commits: abc (4 runs); def+ (1 runs)"),
        ("Mixed.", "runs of 2 kinds of hardware: one CPU (4 runs); another CPU (1 runs)"),
        ("Mixed.", "1 of 5 runs were trained with uncommitted changes"),
    )
    assert all(sentence in render_markdown(found) for _, sentence in found.provenance)
    assert analyze(study(arms[:1])).provenance == ()
    alike = [replace(run, commit="abc+") for run in arms[0].seeds]
    alike = analyze(study([replace(arms[0], seeds=tuple(alike))]))
    assert "> **Uncommitted changes.** All 5 runs were" in render_markdown(alike)
    assert "Mixed" not in render_markdown(alike)


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
    assert "not every run kept its per-example outcomes." in words
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


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"baseline": "maxx"}, "baseline: unknown arm 'maxx': did you mean 'max'"),
        ({"aa_arm": "max"}, "aa_arm: unknown arm 'max'"),
        ({"margin": 0.0}, "margin: must be a positive number"),
        ({"population": "everything"}, "population: unknown"),
    ],
)
def test_mistakes_in_a_study_are_refused(fields, message):
    with pytest.raises(UserError, match=re.escape(message)):
        study([Arm("max"), Arm("blur")], **fields)


def test_runs_that_do_not_fit_together_are_reported():
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
