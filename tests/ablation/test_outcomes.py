"""Outcomes as bits, the copy of a study that is published, and A/A studies drawn from real runs."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.null import COMMITTED, FEWEST_RUNS, most, rate, study_of
from cnn.ablation import start
from cnn.ablation.analysis.collect import collect
from cnn.ablation.analysis.outcomes import Outcomes
from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.execution.suites_of_run import check_measurable
from cnn.ablation.planning.runs import arms_of
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.config.errors import UserError
from tests.ablation.written import plan_of, write_study

STUDIES = 300


def alike(runs: int, examples: int, seed_sd: float = 0.1) -> np.ndarray:
    """Bool `[runs, examples]` of runs that differ in their seeds alone."""
    rng = np.random.default_rng(3)
    logits = rng.normal(1.5, 2.5, examples) + rng.normal(0, seed_sd, (runs, 1))
    return rng.random(logits.shape) < 1 / (1 + np.exp(-logits))


def test_outcomes_come_back_bit_by_bit_and_damage_is_reported(tmp_path):
    correct = alike(5, 37)
    names = tuple(f"max/seed-{i}" for i in range(5))
    file = tmp_path / "null" / "outcomes.npz"
    Outcomes(names, np.arange(5), correct, ("a",) * 5, ("one CPU",) * 5).write(file)
    found = Outcomes.read(file)
    np.testing.assert_array_equal(found.correct, correct)
    assert (found.runs, found.commits, found.hardware) == (names, ("a",) * 5, ("one CPU",) * 5)
    whole = file.read_bytes()
    at = whole.index(b"PK\x01\x02")
    # Cut off, compressed in an unknown way, and encrypted.
    for damaged in (
        whole[:-40],
        whole[: at + 10] + b"\x63" + whole[at + 11 :],
        whole[: at + 8] + b"\x01" + whole[at + 9 :],
    ):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r"outcomes\.npz: cannot be read"):
            Outcomes.read(file)
    # With less rows than runs.
    Outcomes(names, np.arange(5), correct[:4], ("a",) * 5, ("one CPU",) * 5).write(file)
    with pytest.raises(UserError, match=r"cannot be read \(5 runs and 4 rows of outcomes\)"):
        Outcomes.read(file)


def test_a_compact_copy_gives_the_same_report_and_verifies(tmp_path, capsys):
    plan = plan_of({"max": "max", "average": "avg"}, suites=("calibration",))
    folder = write_study(tmp_path / "study", plan, {"max": 0.80, "average": 0.86})
    start.report([str(folder)])
    copy = tmp_path / "copy"
    start.compact(str(folder), str(copy))
    assert not list(copy.rglob("test_predictions.npz"))
    made = (copy / "report.csv").read_text(), (folder / "report.csv").read_text()
    assert made[0] == made[1]
    assert "better" in made[0]
    start.verify(str(copy))
    with pytest.raises(UserError, match="is not empty"):
        start.compact(str(folder), str(copy))
    # One bit of one run.
    stored = Outcomes.read(copy / "outcomes.npz")
    stored.correct[2, 7] ^= True
    stored.write(copy / "outcomes.npz")
    with pytest.raises(UserError, match=f"{stored.runs[2]}: its kept predictions"):
        start.verify(str(copy))


def test_suites_that_a_copy_cannot_measure_are_refused_before_anything(tmp_path):
    plan = plan_of({"max": "max", "average": "avg"}, suites=("calibration",))
    folder = write_study(tmp_path / "study", plan, {"max": 0.80, "average": 0.86})
    runs = next(iter(arms_of(plan, folder).values()))
    check_measurable(runs)
    more = [replace(run, suites=("calibration", "shift")) for run in runs]
    with pytest.raises(UserError, match=r"suites: shift cannot be measured on .*no checkpoints"):
        check_measurable(more)
    for run in more:
        (run.folder / "checkpoints").mkdir()
    check_measurable(more)


def test_a_copy_that_fails_leaves_nothing_and_can_be_made_again(tmp_path):
    plan = plan_of({"max": "max", "average": "avg"}, suites=("calibration",))
    folder = write_study(tmp_path / "study", plan, {"max": 0.80, "average": 0.86})
    result = next((folder / "average").rglob("evaluation/calibration/*.json"))
    # Of another step, so that only the copy reads it.
    damaged = result.with_name("test-3.json")
    damaged.write_text("{")
    with pytest.raises(UserError, match=f"{damaged}, line 1, column 2"):
        start.compact(str(folder), str(tmp_path / "copy"))
    assert [path.name for path in tmp_path.iterdir()] == ["study"]
    damaged.unlink()
    start.compact(str(folder), str(tmp_path / "copy"))
    assert {path.name for path in tmp_path.iterdir()} == {"study", "copy"}


@pytest.mark.parametrize("paired", [False, True])
def test_rates_of_drawn_studies_are_those_of_the_rule(paired):
    """On this test set alone Student's t errs in 5 % of studies; so does the rule, at most."""
    correct, setting = alike(60, 400, 0.3), {"paired": paired, "population": "seeds"}
    found = rate(correct, 5, STUDIES, **setting)
    assert 0.005 < found <= most(STUDIES)
    # A study of the same size that loses three tenths of its right answers is hardly ever missed.
    assert rate(correct, 5, 50, lost=0.3, **setting) > 0.9


def test_a_study_of_groups_is_one_that_reports_can_show():
    correct = alike(6, 200)
    analysis = analyze(study_of([correct[:3], correct[3:]], paired=True, population="seeds"))
    [comparison] = analysis.comparisons.values()
    assert comparison.by_seed
    assert comparison.verdict.judged


@pytest.mark.skipif(not COMMITTED.is_file(), reason="results/null is not committed yet")
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("paired", [False, True])
def test_real_runs_of_one_config_are_hardly_ever_different(seeds, paired):
    found = Outcomes.read(COMMITTED)
    assert len(found.runs) == len(set(found.seeds.tolist())) >= FEWEST_RUNS
    assert COMMITTED.stat().st_size < 2_000_000
    for population in ("seeds", "seeds and examples"):
        setting = {"paired": paired, "population": population}
        assert rate(found.correct, seeds, STUDIES, **setting) <= most(STUDIES)
    assert rate(found.correct, seeds, 20, lost=0.05, **setting) > 0.9


@pytest.mark.parametrize("copied", ["max/seed-1", "avg/seed-0"])
def test_a_run_of_another_arm_or_seed_is_refused(copied, tmp_path):
    plan = plan_of({"max": "max", "avg": "avg"})
    folder = write_study(tmp_path / "study", plan, {"max": 0.6, "avg": 0.5})
    shutil.rmtree(folder / "avg" / "seed-1")
    shutil.copytree(folder / copied, folder / "avg" / "seed-1")
    words = r"avg/seed-1: is not the run of arm 'avg' with seed 1 \((model.downsample|seed): "
    with pytest.raises(UserError, match=words):
        collect(StudyFolder(folder))
