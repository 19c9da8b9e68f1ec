"""Arms matched by computation: within 2 % of the baseline, or refused."""

from dataclasses import replace

import pytest

from cnn.ablation.matching import matched
from cnn.ablation.plan import StudyPlan, load_study
from cnn.config.errors import UserError
from cnn.config.load import load
from cnn.cost.count import macs
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
    margin=0.01,
)


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


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"match": "wdth"}, "did you mean 'width'"),
        ({"match": "width", "networks": {"a": ()}}, "one network"),
        ({"match": "width", "arms": {"max": (), "a": ("model.name=lenet5",)}}, "fixed widths"),
        ({"match": "width", "shared": (*TINY, "model.features=1,1")}, "within 2 %"),
        ({"match": "epochs", "shared": (*TINY, "train.duration=2 steps")}, "within 2 %"),
    ],
)
def test_what_cannot_be_matched_is_refused(changed, words):
    with pytest.raises(UserError, match=words):
        matched(replace(STUDY, **changed))
