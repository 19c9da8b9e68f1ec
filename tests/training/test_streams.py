import jax
import numpy as np
import pytest

from cnn.config.seeds import Seeds
from cnn.data import open_dataset
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.plan import make_training_plan
from tests.conftest import tiny_config

ONE = {"augment": ("augment.flip=true",), "dropout": ("model.dropout=0.5",)}


@pytest.fixture(scope="module")
def effects():
    """Returns a function: overrides -> what each stream decides, all else being held."""
    dataset = open_dataset(tiny_config().data)
    made = {}
    for stream, overrides in ONE.items():
        evaluator = make_evaluator(tiny_config(*overrides), dataset)
        trainer = make_trainer(
            evaluator, make_training_plan(evaluator.config, len(dataset.train), 1)
        )
        step = jax.jit(trainer.update.__wrapped__)
        made[stream] = step, trainer.new_state(), next(trainer.feed.batches(0, 1)), trainer.feed

    def of(*overrides):
        config = tiny_config(*overrides)
        seeds = Seeds(*map(np.uint32, Seeds.of(config)))
        evaluator = make_evaluator(config, dataset)
        trainer = make_trainer(evaluator, make_training_plan(config, len(dataset.train), 1))
        seen = {
            "init": [
                x.tobytes() for x in jax.tree.leaves(jax.device_get(evaluator.new_state().params))
            ],
            "order": next(trainer.feed.values(0, 1))["index"].tobytes(),
        }
        for stream, (step, state, batch, feed) in made.items():
            seen[stream] = float(step(state, seeds, feed.arrays, batch)[1]["loss"])
        return seen

    return of


@pytest.mark.parametrize("stream", Seeds._fields)
def test_each_stream_changes_alone(effects, stream):
    before, after = effects("seed=1"), effects("seed=1", f"seeds.{stream}=2")
    assert [name for name in before if before[name] != after[name]] == [stream]
    held = effects("seed=2", f"seeds.{stream}=1")
    assert [name for name in before if before[name] == held[name]] == [stream]
