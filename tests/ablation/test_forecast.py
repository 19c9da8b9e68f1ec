"""`ablate.py plan`: arms that are one function, arms that cannot be trained, and its arithmetic."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from cnn.ablation.analysis.forecast import Forecast, Variability, forecast, measured_variability
from cnn.ablation.planning.probe import ArmTime
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.ablation.report.forecast_text import print_forecast, sentences, warnings
from cnn.ablation.start import plan as plan_command
from cnn.ablation.statistics.power import planned, power
from cnn.config.errors import UserError
from tests.ablation.study_tiny import get_study
from tests.conftest import REPOSITORY, TINY

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


def test_an_arm_that_cannot_be_trained_is_reported_and_the_rest_is_planned(twins, capsys):
    print_forecast(twins, Console(width=400))
    printed = capsys.readouterr().out
    assert set(twins.times) == set(TWINS.arms) - {"crooked"}
    assert "arm 'crooked' cannot be trained: train.batch_size: 17" in printed
    assert "7 arms x 3 seeds = 21 runs" in printed
    assert "are the same function" in printed
    assert twins.differs["avg"] == ("maximum",)
    assert twins.differs["slower"] == ("recipe",)
    assert all(name in printed for name in TWINS.arms)
    assert all(t.run >= 12 * t.step > 0 and t.compile > 0 for t in twins.times.values())


def simple(**changes) -> Forecast:
    known = Forecast(
        plan=replace(get_study(), seeds=range(10), margin=0.5),
        arms=dict.fromkeys((*get_study().arms, "max again"), ()),
        repeats={"max again": "max"},
        times={name: ArmTime(compile=4.0, step=0.1, run=30.0) for name in get_study().arms},
        broken={},
        differs={},
        same=[],
        workers=2,
        examples=2000,
        variability=Variability(0.9, 0.0025, 0.0, "assumed"),
        delta=0.003,
    )
    return replace(known, **changes)


def test_the_arithmetic_of_a_plan():
    one = simple()
    assert (one.runs, one.comparisons) == (40, 2)
    assert one.seconds == pytest.approx((40 * 30 + 3 * 4) / 2)
    assert one.noise_floor == pytest.approx(np.sqrt(0.9 * 0.1 / 2000))
    # Student's t of two arms of 10 seeds whose variance four arms tell, at 0.035/2.
    error = 0.0025 * np.sqrt(2 / 10)
    critical, shift = stats.t.isf(0.035 / 4, 36), one.detectable / error
    assert one.level == pytest.approx(0.035 / 2)
    assert stats.nct.sf(critical, 36, shift) == pytest.approx(0.8, abs=1e-4)
    needed = one.seeds_for_delta
    views = [planned(0.003, 0.0025, n, arms=4) for n in (needed - 1, needed)]
    reached = [power(view, one.level) for view in views]
    assert reached[0] < 0.8 <= reached[1]


def test_test_examples_are_part_of_the_plan():
    # 10 % of examples on which two arms differ: a standard error of 0.7 points on 2,000.
    small = simple(variability=Variability(0.9, 0.001, np.sqrt(0.1), "assumed"), delta=0.01)
    assert small.seeds_for_delta is None
    assert small.detectable > 2.5 * np.sqrt(0.1 / 2000)
    larger = replace(small, examples=small.examples_for_delta)
    assert larger.detectable <= 0.01 * 1.001
    output = " ".join(sentences(small))
    assert "Standard error of a difference due to 2,000 test examples: 0.71 pp" in output
    assert f"about {small.examples_for_delta:,} examples would" in output
    assert power(small._view, small.level) < 0.8


def test_a_difference_below_the_margin_is_warned_of():
    assert any("below the equivalence margin of 0.50 pp" in w for w in warnings(simple()))
    assert not any("equivalence margin" in w for w in warnings(simple(delta=0.005)))


def test_a_confounded_arm_is_warned_of():
    output = warnings(simple(differs={"strided": ("MACs", "maximum"), "max": ()}, delta=0.005))
    assert [w for w in output if w.startswith("strided: confounded")]


def test_the_level_of_a_plan_is_explained():
    spent = "alpha = 0.035, what the planned final analysis has of 0.05"
    assert f"Holm's procedure over 2 comparisons of a family with {spent}" in " ".join(
        sentences(simple())
    )
    alone = simple(arms=dict.fromkeys(("max", "avg", "max again"), ()))
    assert f"(80 % power, {spent}; for" in " ".join(sentences(alone))


def test_what_no_plan_detects_says_what_is_too_few():
    noisy = simple(
        plan=replace(get_study(), seeds=range(3), margin=0.5),
        variability=Variability(0.9, 0.01, np.sqrt(0.1), "assumed"),
    )
    assert "2,000 test examples are too few for any number of seeds, and 3 seeds are too" in (
        " ".join(sentences(noisy))
    )


def test_a_pilot_tells_how_much_the_metric_varies():
    pilot = REPOSITORY / "results" / "pooling"
    found = measured_variability(get_study(), pilot)
    values = {}
    for folder in pilot.glob("*/seed-*"):
        result = json.loads((folder / "result.json").read_text())
        values.setdefault(folder.parent.name, []).append(result["test"]["accuracy"])
    sds = [np.std(v, ddof=1) for v in values.values()]
    assert found.mean == pytest.approx(np.mean(list(values.values())))
    # Never less than what the disagreement of seeds on examples adds up to.
    assert np.sqrt(np.mean(np.square(sds))) <= found.seed_sd < 1.1 * max(sds)
    assert 0.1 < found.example_sd < 0.3
    assert "measured on the finished runs of 7 arms" in found.source
    assert measured_variability(replace(get_study(), population="seeds"), pilot).example_sd == 0
    with pytest.raises(UserError, match="there is no study in"):
        measured_variability(get_study(), pilot.parent)


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


def test_a_study_of_a_suite_is_planned_before_its_power_is_known():
    name = "circular_grid, consistency"
    plan = replace(get_study(), suites=("shift(images=5)",), metric=name)
    plan = replace(plan, arms={"max": ()}, repeat_baseline=False)
    found = forecast(plan, workers=1, delta=0.01, accuracy=0.9)
    assert found.seconds > 0
    output = " ".join(sentences(found))
    assert "Minimum detectable effect: n/a" in output
    assert "shift(images=5) on every run is not included" in output
    assert not warnings(found)


def test_a_plan_says_what_the_control_is_for_what_it_costs_and_how_to_leave_it_out():
    one = simple()
    assert one.control_seconds == pytest.approx(10 * 30 / 2)
    output = " ".join(sentences(one))
    assert "A/A control: max again repeats the baseline with other seeds" in output
    assert "It costs 10 runs (2m30s); repeat_baseline=False in the study file" in output
    assert "Estimate includes one compilation per arm" in output
    assert "A/A" not in " ".join(sentences(simple(repeats={})))
