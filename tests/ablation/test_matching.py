"""Arms matched by computation: within 2 % of the baseline, or refused."""

from dataclasses import replace

import numpy as np
import pytest

from cnn.ablation import start
from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.planning import matching
from cnn.ablation.planning.matching import matched, with_matched
from cnn.ablation.planning.study_file import load_study
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.ablation.report import FORMATS
from cnn.ablation.report.matching_text import cost_groups
from cnn.config.errors import UserError
from cnn.config.load import load
from cnn.cost.count import macs, network_cost
from tests.ablation.simulated import arm, study
from tests.conftest import TINY

STUDY = StudyPlan(
    name="matched",
    config="configs/base.py",
    shared=(*TINY, "model.features=48,96", "train.duration=500 steps"),
    arms={
        "max": (),
        "strided": ("model.downsample=strided_conv",),
        "deeper": ("model.depths=2,2", "model.downsample=conv_pool"),
    },
    baseline="max",
    seeds=range(3),
    margin=1.0,
)

# A network whose widths nothing can change.
SHARED = tuple(text for text in TINY if not text.startswith("model."))
FIXED = {"max": (), "a": ("model.name=lenet5",)}


def configs(plan):
    return {name: load(plan.config, (*plan.shared, *own)).config for name, own in plan.arms.items()}


def costs(plan, shape=(8, 8, 3), classes=7):
    return {name: macs(c.model, shape, classes) for name, c in configs(plan).items()}


def test_widths_are_changed_until_the_images_cost_the_same():
    before, plan = costs(STUDY), matched(replace(STUDY, match="width"))
    after = costs(plan)
    assert before["strided"] < 0.5 * before["max"] < 0.5 * before["deeper"]
    assert after["max"] == before["max"]
    for name in ("strided", "deeper"):
        assert after[name] == pytest.approx(after["max"], rel=0.02)
        assert plan.arms[name][:-1] == STUDY.arms[name]
    assert plan.arms["max"] == ()


@pytest.mark.parametrize("quantity", ["macs", "parameters"])
def test_a_study_can_have_every_arm_as_it_is_and_at_equal_cost(quantity):
    def each(plan):
        return {
            name: network_cost(c.model, (8, 8, 3), 7).total(quantity)
            for name, c in configs(plan).items()
        }

    plan = with_matched(replace(STUDY, matched=quantity))
    found, label = each(plan), {"macs": "MACs"}.get(quantity, quantity)
    copies = {f"deeper, equal {label}": "deeper"}
    if quantity == "macs":  # Of parameters it has as many.
        copies = {f"strided, equal {label}": "strided", **copies}
    assert plan.copies == copies
    assert list(plan.arms) == [*STUDY.arms, *copies]
    for name in copies:
        assert found[name] == pytest.approx(found["max"], rel=0.02)
    assert {name: found[name] for name in STUDY.arms} == each(STUDY)


def test_a_report_has_a_table_of_each():
    rng = np.random.default_rng(0)
    ease = rng.normal(1, 1, 300)
    arms = [
        arm(rng, "max", ease, seeds=range(3)),
        arm(rng, "avg", ease, seeds=range(3)),
        arm(rng, "conv", ease, seeds=range(3)),
        arm(rng, "conv, equal MACs", ease, seeds=range(3), copy_of="conv"),
    ]
    arms[3] = replace(arms[3], overrides=("model.features=3,4",))
    found = analyze(study(arms, matched="macs"))
    tables = {title: list(part.summaries) for title, part in cost_groups(found)}
    assert tables == {
        "Arms as they are": [("", "max"), ("", "avg"), ("", "conv")],
        "Arms at equal MACs": [("", "max"), ("", "avg"), ("", "conv, equal MACs")],
    }
    for name, render in FORMATS.items():
        text = render(found)
        if name != "report.svg":
            assert "conv, equal MACs" in text
        if name not in ("report.svg", "report.csv"):
            assert "Arms as they are" in text
            assert "Arms at equal MACs" in text
            assert "conv, equal MACs 3,4" in text  # the widths that make it so
    assert "Arms as they are" not in FORMATS["report.md"](analyze(study(arms[:3])))


def test_epochs_are_changed_until_the_trainings_cost_the_same():
    plan = matched(replace(STUDY, match="epochs"))
    each, found = costs(plan), configs(plan)
    total = {n: each[n] * int(c.train.duration.removesuffix(" steps")) for n, c in found.items()}
    assert each == costs(STUDY)
    assert total["strided"] == pytest.approx(total["max"], rel=0.02)
    assert total["deeper"] == pytest.approx(total["max"], rel=0.02)


def test_blocks_are_compared_at_the_same_computation():
    after = costs(matched(load_study("configs/ablations/blocks.py")), (28, 28, 1), 10)
    for name, cost in after.items():
        assert cost == pytest.approx(after["plain"], rel=0.02), name


def test_the_time_of_a_step_is_measured_twice_for_every_arm():
    tiny = replace(STUDY, shared=(*TINY, "train.duration=500 steps"))
    first, second = matching.step_seconds(tiny)
    assert set(first) == set(second) == set(tiny.arms)
    assert min(*first.values(), *second.values()) > 0


def measured(monkeypatch, *twice):
    monkeypatch.setattr(matching, "measure_apart", lambda plan: list(twice))


def test_steps_are_changed_until_the_trainings_take_as_long(monkeypatch):
    measured(
        monkeypatch,
        {"max": 0.010, "strided": 0.0050, "deeper": 0.0300},
        {"max": 0.020, "strided": 0.0101, "deeper": 0.0600},
    )
    plan = matched(replace(STUDY, match="time"))
    # The baseline's 500 steps over each ratio.
    assert plan.arms["strided"][-1] == "train.duration=995 steps"
    assert plan.arms["deeper"][-1] == "train.duration=167 steps"
    assert plan.arms["max"] == ()


def test_a_time_that_is_not_known_within_2_percent_is_refused(monkeypatch):
    each = {"max": 0.01, "strided": 0.0050, "deeper": 0.03}
    measured(monkeypatch, each, each | {"strided": 0.0052})
    with pytest.raises(UserError, match=r"takes 0\.50 and then 0\.52 times"):
        matched(replace(STUDY, match="time"))
    measured(monkeypatch, each, each)
    short = replace(STUDY, match="time", shared=(*TINY, "train.duration=2 steps"))
    with pytest.raises(UserError, match="1 steps are the nearest; train for longer"):
        matched(short)


def test_a_study_that_goes_on_keeps_the_times_it_was_matched_by(monkeypatch, tmp_path):
    file, folder = tmp_path / "study.py", StudyFolder(tmp_path / "study")
    file.write_text(
        "from cnn.ablation.planning.study_plan import StudyPlan\n"
        "def get_study():\n"
        f"  return StudyPlan(name='n', config='configs/base.py', shared={STUDY.shared},"
        " arms={'a': (), 'b': ('model.downsample=avg',)}, baseline='a',"
        " margin=1.0, seeds=(0, 1, 2), match='time')\n"
    )
    study = load_study(str(file))
    measured(monkeypatch, *[{"a": 0.01, "b": 0.005}] * 2)
    folder.begin(matched(study), str(file), [])
    assert folder.matched(str(file), []).arms["b"][-1] == "train.duration=1000 steps"
    assert folder.matched(str(file), ["log.every=7 steps"]) is None
    with pytest.raises(UserError, match="times are measured once for all tasks"):
        start.run(str(file), str(tmp_path / "new"), [], task="0/2")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"match": "wdth"}, "did you mean 'width'"),
        ({"matched": "mac"}, "did you mean 'macs'"),
        ({"match": "width", "networks": {"a": ()}}, "one network"),
        ({"match": "width", "arms": FIXED, "shared": SHARED}, "fixed widths"),
        ({"match": "width", "shared": (*TINY, "model.features=1,1")}, "within 2 %"),
        ({"match": "epochs", "shared": (*TINY, "train.duration=2 steps")}, "within 2 %"),
    ],
)
def test_what_cannot_be_matched_is_refused(changed, words):
    plan = replace(STUDY, **changed)
    with pytest.raises(UserError, match=words):
        with_matched(plan) if plan.matched else matched(plan)
