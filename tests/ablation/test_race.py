"""A race: decided arms take no further seeds, and the error is held all the same."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cnn.ablation.analysis.collect import collect
from cnn.ablation.analysis.study_analysis import analyze, kinds
from cnn.ablation.analysis.study_results import SeedRun
from cnn.ablation.execution.due import is_open
from cnn.ablation.execution.runner import run_study
from cnn.ablation.execution.task import Task
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.ablation.report import render_csv, render_html, render_markdown
from cnn.ablation.statistics.sequential import AnalysisSchedule
from cnn.training.run_folder import RunFolder
from tests.ablation.simulated import arm, study
from tests.conftest import TINY

LOOKS = AnalysisSchedule((4, 8, 12), planned=3)


def raced(rng, gains, seeds=12, examples=600, looks=LOOKS, **fields):
    ease = rng.normal(1.0, 1.0, examples)
    names = ("max", *(f"arm {i}" for i in range(1, len(gains))))
    arms = [
        arm(rng, name, ease, gain, range(seeds)) for name, gain in zip(names, gains, strict=True)
    ]
    return study(arms, schedule=looks, race=True, **fields)


def test_a_decided_arm_takes_no_further_seeds_and_keeps_its_verdict():
    whole = raced(np.random.default_rng(0), (0.0, -1.2, 0.0), margin=1e-6)
    found = analyze(whole)
    worse, open_ = found.study.arms[1:]
    assert (len(worse.seeds), worse.stopped) == (4, 0)
    assert (len(open_.seeds), open_.stopped) == (12, None)
    assert found.comparisons["", "arm 1"].verdict.kind == "worse"
    # What was trained anyhow does not change what was decided.
    other = raced(np.random.default_rng(9), (0.0, 1.2, 0.0), margin=1e-6).arms[1].seeds[4:]
    changed = replace(whole.arms[1], seeds=(*whole.arms[1].seeds[:4], *other))
    again = analyze(replace(whole, arms=(whole.arms[0], changed, whole.arms[2])))
    assert again.comparisons["", "arm 1"].verdict == found.comparisons["", "arm 1"].verdict
    for text in (render_markdown(found), render_html(found)):
        assert "arm 1 was stopped at analysis 1 (4 seeds)" in text
        assert "saves 8 of 36 runs" in text
    [row] = [line for line in render_csv(found).splitlines() if ",arm 1," in line]
    assert ",4,1," in row


def test_when_all_are_decided_nothing_is_left_to_train():
    rng = np.random.default_rng(1)
    whole = raced(rng, (0.0, -1.2, 1.5), margin=1e-6)
    first = [replace(a, seeds=(*a.seeds[:4], *map(not_begun, a.seeds[4:]))) for a in whole.arms]
    found = analyze(replace(whole, arms=tuple(first)))
    assert [len(a.seeds) for a in found.study.arms] == [4, 4, 4]
    assert found.study.unfinished == 0
    assert (found.current.index, found.interim) == (0, False)


def not_begun(run):
    return SeedRun(run.seed, run.run_dir, status="not begun")


def test_an_arm_that_diverged_stops_and_one_that_crashed_does_not():
    whole = raced(np.random.default_rng(2), (0.0, 0.0, 0.0), margin=1e-6)
    for status, stopped in (("diverged", 0), ("crashed", None)):
        lost = SeedRun(1, "x", status=status)
        seeds = whole.arms[1].seeds
        broken = replace(whole.arms[1], seeds=(seeds[0], lost, *seeds[2:]))
        arms = analyze(replace(whole, arms=(whole.arms[0], broken, whole.arms[2]))).study.arms
        assert arms[1].stopped == stopped


class Pool:
    """Trains in this process, without training: avg is much worse, and strided like max."""

    def __init__(self, runs, trained):
        for run in filter(is_open, runs):
            trained.append((run.arm, run.seed))
            accuracy = (0.1 if run.arm == "avg" else 0.5) + 0.003 * ((7 * run.seed) % 5)
            result = {
                "step": 1,
                "input_shape": [8, 8, 3],
                "test": {"accuracy": accuracy, "loss": 1.0, "confusion": [[1] * 7] * 7},
                "validation": {},
                "best": None,
                "fingerprint": "",
                "config": {},
            }
            RunFolder(run.folder).claim(run.load().config, {"mean": [0.5], "std": [0.5]})
            (run.folder / "result.json").write_text(json.dumps(result))

    def poll(self):
        return False

    def stop(self):
        pass


def test_runs_of_decided_arms_are_not_trained(tmp_path, capsys):
    plan = StudyPlan(
        name="race",
        config="configs/base.py",
        shared=TINY,
        arms={
            "max": (),
            "avg": ("model.downsample=avg",),
            "strided": ("model.downsample=strided_conv",),
        },
        baseline="max",
        seeds=range(8),
        margin=0.01,
        looks=(4, 6, 8),
        race=True,
        repeat_baseline=False,
    )
    folder, trained = StudyFolder(tmp_path / "study"), []
    file = tmp_path / "study.py"
    file.touch()
    folder.begin(plan, str(file), [])
    run_study(folder, lambda runs: Pool(runs, trained), Task())
    taken = Counter(arm for arm, _ in trained)
    assert taken == {"max": 8, "avg": 4, "strided": 8}
    assert trained[:12] == [(arm, seed) for seed in range(4) for arm in ("max", "avg", "strided")]
    assert "12 runs until the analysis at 4 seeds, 12 of them to train" in capsys.readouterr().out
    found = analyze(collect(folder))
    assert found.comparisons["", "avg"].verdict.kind == "worse"
    assert found.study.unfinished == 0
    # The same command again has nothing to do.
    run_study(folder, lambda runs: Pool(runs, trained), Task())
    assert len(trained) == 20


@pytest.mark.exhaustive
def test_the_family_wise_error_of_a_race_is_held():
    rng, studies, false = np.random.default_rng(3), 250, 0
    looks = AnalysisSchedule((3, 5, 7), planned=3)
    for _ in range(studies):
        found = kinds(raced(rng, (0.0, 0.0, 0.0), 7, 200, looks, margin=1e-6))
        false += bool({"better", "worse"} & set(found.values()))
    assert false <= stats.binom.ppf(0.999, studies, 0.05)


def test_a_race_saves_runs():
    rng, taken = np.random.default_rng(4), []
    for _ in range(6):
        found = analyze(raced(rng, (0.0, -0.5, -0.5, 0.5, 0.5, 0.5), examples=2000))
        taken.append(sum(len(a.seeds) for a in found.study.arms) / (6 * 12))
    assert np.mean(taken) <= 0.6
