import pytest

from cnn.config.errors import UserError
from cnn.training.plan import make_training_plan
from tests.conftest import tiny_config


def test_values_are_resolved_after_the_overrides():
    config = tiny_config(
        "train.batch_size=50",
        "train.duration=10 epochs",
        "schedule.name=step",
        "schedule.warmup=10%",
        "schedule.boundaries=50%,90%",
        "evaluation.every=2 epochs",
        "checkpoint.every=500 examples",
        "log.every=7 steps",
        "optimizer.learning_rate=0.2",
    )
    plan = make_training_plan(config, train_examples=1000, devices=1)
    assert plan.total_steps == 200
    assert plan.warmup_steps == 20
    assert plan.boundaries == (100, 180)
    assert plan.evaluate_every == 40
    assert plan.checkpoint_every == 10
    assert plan.log_every == 7
    assert plan.learning_rate == pytest.approx(0.2 * 50 / 256)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train.batch_size=128"], ["train.batch_size", "128", "100", "at most 96"]),
        (
            ["train.batch_size=104", "train.accumulation=13"],
            ["split of 100 examples", "at least 104 are needed"],
        ),
        (["train.batch_size=50"], ["train.batch_size", "50", "8 devices", "nearest", "48"]),
        (["train.batch_size=16", "train.accumulation=4"], ["train.batch_size", "micro", "32"]),
        (["model.ghost_batch=5"], ["model.ghost_batch: 5", "the 16 examples", "that does is 4"]),
        (
            ["train.accumulation=2", "model.ghost_batch=16"],
            ["model.ghost_batch: 16", "the 8 examples", "that does is 8"],
        ),
        (["train.duration=0 steps"], ["train.duration", "less than one step"]),
        (["schedule.warmup=12 steps"], ["schedule.warmup", "12", "at most 11"]),
        (
            ["schedule.name=step", "schedule.boundaries=90%,50%"],
            ["schedule.boundaries", "(11, 6)", "increase"],
        ),
        (["schedule.name=step", "schedule.boundaries=12 steps"], ["before the end (12)"]),
    ],
)
def test_what_cannot_be_trained_is_refused_with_what_can(overrides, words):
    config = tiny_config(*overrides)
    with pytest.raises(UserError) as error:
        make_training_plan(config, train_examples=100, devices=8)
    assert all(word in str(error.value) for word in words), str(error.value)
