"""`ablate.py plan`: arms that are one function, arms that cannot be trained, and its arithmetic."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from cnn.ablation.analysis.statistics.power import planned, power
from cnn.ablation.planning.forecast import Forecast, Spread, forecast
from cnn.ablation.planning.forecast_text import print_forecast, sentences, warnings
from cnn.ablation.planning.probe import ArmTime
from cnn.ablation.planning.study_plan import Run, StudyPlan, arms_of
from cnn.ablation.start import plan as plan_command
from cnn.config.errors import UserError
from cnn.evaluation.results import ResultFile
from cnn.evaluation.suites import chosen
from cnn.training.run_folder import RunFolder, write_atomically
from tests.ablation.study_tiny import get_study
from tests.conftest import TINY

TWINS = StudyPlan(
    name="twins",
    config="configs/base.py",
    shared=TINY,
    arms={
        "max": (),
        "max, said": ("model.downsample=max", "log.every=3 steps"),
        "avg": ("model.downsample=avg",),
        "blur": ("model.downsample=blur(taps=2)",),
        "slower": ("optimizer.learning_rate=0.05",),
        "crooked": ("train.batch_size=17", "train.accumulation=2"),
    },
    baseline="max",
    seeds=range(3),
    margin=1.0,
)


@pytest.fixture(scope="module")
def twins():
    return forecast(TWINS, workers=2, delta=0.01, accuracy=0.9)


def test_arms_that_are_one_function_are_named(twins):
    assert [(one, other) for one, other, _ in twins.same] == [
        ("max", "max, said"),
        ("avg", "blur"),
    ]
    reasons = [why for *_, why in twins.same]
    assert "configs" in reasons[0]
    assert "gradients" in reasons[1]


def test_an_arm_that_cannot_be_trained_is_said_and_the_rest_is_planned(twins, capsys):
    print_forecast(twins, Console(width=400))
    printed = capsys.readouterr().out
    assert set(twins.times) == set(TWINS.arms) - {"crooked"}
    assert "arm 'crooked' cannot be trained: train.batch_size: 17" in printed
    assert "7 arms x 3 seeds = 21 runs" in printed
    assert "are the same function" in printed
    assert all(name in printed for name in TWINS.arms)
    assert all(t.run >= 12 * t.step > 0 and t.compile > 0 for t in twins.times.values())


def simple(**changes) -> Forecast:
    known = Forecast(
        plan=replace(get_study(), seeds=range(10), margin=0.5),
        arms=dict.fromkeys((*get_study().arms, "max again"), ()),
        repeats={"max again": "max"},
        times={name: ArmTime(compile=4.0, step=0.1, run=30.0) for name in get_study().arms},
        broken={},
        same=[],
        workers=2,
        examples=2000,
        spread=Spread(0.9, 0.0025, "assumed"),
        delta=0.003,
    )
    return replace(known, **changes)


def test_the_arithmetic_of_a_plan():
    one = simple()
    assert one.runs == 40
    assert one.seconds == pytest.approx((40 * 30 + 3 * 4) / 2)
    assert one.noise_floor == pytest.approx(np.sqrt(0.9 * 0.1 / 2000))
    # A t-test of two arms of 10 seeds at 0.05/3, by SciPy's noncentral t.
    error = 0.0025 * np.sqrt(2 / 10)
    critical, shift = stats.t.isf(0.05 / 6, 18), one.resolvable / error
    assert stats.nct.sf(critical, 18, shift) == pytest.approx(0.8, abs=1e-4)
    needed = one.seeds_for_delta
    reached = [power(planned(0.003, 0.0025, n), 0.05 / 3) for n in (needed - 1, needed)]
    assert reached[0] < 0.8 <= reached[1]


def finish(run: Run, accuracy: float) -> None:
    """Leaves a result in the folder of a run."""
    result = {"step": 12, "test": {"accuracy": accuracy, "loss": 0.5}, "validation": {}}
    result |= {"best": None, "fingerprint": "", "config": {}}
    write_atomically(run.folder / "result.json", json.dumps(result))


def test_finished_runs_tell_how_much_seeds_differ(tmp_path):
    plan, values = replace(get_study(), seeds=range(4)), [0.5, 0.6, 0.7, 0.6]
    for name, runs in arms_of(plan, tmp_path).items():
        for run, value in zip(runs, values, strict=True):
            finish(run, value + 0.1 * (name == "strided"))
    only = replace(plan, arms={name: plan.arms[name] for name in ("max", "strided")})
    found = forecast(only, workers=1, delta=0.01, accuracy=0.9, workdir=tmp_path)
    assert found.spread.sd == pytest.approx(np.std(values, ddof=1))
    assert found.spread.mean == pytest.approx(0.6 + 0.1 / 3)
    assert "measured" in found.spread.source


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"workers": 0}, "--workers: 0"),
        ({"delta": 0.0}, "percentage points"),
        ({"accuracy": 101.0}, "between 0 and 100"),
    ],
)
def test_impossible_questions_are_refused(changed, words):
    given = dict(workers=1, delta=0.3, accuracy=90.0, workdir=None)
    with pytest.raises(UserError, match=words):
        plan_command("tests/ablation/study_tiny.py", [], **(given | changed))


def test_a_study_of_a_suite_is_planned_and_its_power_is_told_once_runs_are_finished(tmp_path):
    name = "circular_grid, consistency"
    plan = replace(get_study(), suites=("shift(images=5)",), metric=name)
    plan = replace(plan, arms={"max": ()}, repeat_baseline=False)
    found = forecast(plan, workers=1, delta=0.01, accuracy=0.9)
    assert found.seconds > 0
    told = " ".join(sentences(found))
    assert "Smallest detectable difference: n/a" in told
    assert "shift(images=5) on every run is not included" in told
    assert not warnings(found)
    for run, value in zip(arms_of(plan, tmp_path)["max"], (0.5, 0.6, 0.7), strict=True):
        finish(run, 0.9)
        [asked] = chosen(plan.suites[0])
        file = ResultFile.of(RunFolder(run.folder), asked, 12, "test")
        record = {"suite": "shift", "complete": True, "step": 12, "split": "test"}
        record |= {"options": file.options, "changes": {}, "fingerprint": ""}
        record |= {"results": {"circular_grid": {"consistency": value}}}
        write_atomically(file.path, json.dumps(record))
    measured = forecast(plan, workers=1, delta=0.01, accuracy=0.9, workdir=tmp_path)
    assert measured.spread.sd == pytest.approx(0.1)
    assert "Standard deviation over seeds: 10.00 pp" in " ".join(sentences(measured))


def test_a_plan_says_what_the_control_is_for_what_it_costs_and_how_to_leave_it_out():
    one = simple()
    assert one.control_seconds == pytest.approx(10 * 30 / 2)
    told = " ".join(sentences(one))
    assert "A/A control: max again repeats the baseline with other seeds" in told
    assert "It costs 10 runs (2m30s); repeat_baseline=False in the study file" in told
    assert "Estimate includes one compilation per arm" in told
    assert "A/A" not in " ".join(sentences(simple(repeats={})))
