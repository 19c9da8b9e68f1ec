"""`train.flip_bit`: one bit of one initial parameter, and nothing else."""

import jax
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.plan import make_training_plan
from cnn.training.replicas import train_replicas
from tests.conftest import tiny_config

ONE_SEED = tuple(f"seeds.{name}=0" for name in ("init", "order", "augment", "dropout"))


def begun(*overrides):
    """Returns the first state of a tiny training, on the host."""
    config = tiny_config(*ONE_SEED, "train.ema_decay=0.9", *overrides)
    evaluator = make_evaluator(config, open_dataset(config.data))
    trainer = make_trainer(evaluator, make_training_plan(config, len(evaluator.dataset.train), 1))
    return jax.device_get(trainer.new_state())


def differing(one, other):
    """Returns the pairs of elements that differ."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return [
        pair for a, b in pairs for pair in zip(a.flat, b.flat, strict=True) if pair[0] != pair[1]
    ]


def test_one_element_moves_to_the_float_beside_it():
    plain, first = begun("seed=1"), begun("seed=1", "train.flip_bit=True")
    [(before, after)] = differing(plain.params, first.params)
    assert after in (np.nextafter(before, -np.inf), np.nextafter(before, np.inf))
    assert not differing(first.params, first.ema["params"])
    assert not differing(plain.collections, first.collections)
    # The seed picks the element, and the same one again.
    assert not differing(first.params, begun("seed=1", "train.flip_bit=True").params)
    assert len(differing(first.params, begun("seed=2", "train.flip_bit=True").params)) == 2
    assert not differing(plain.params, begun("seed=2").params)


def test_replicas_are_refused(tmp_path):
    configs = [tiny_config(f"seed={seed}", "train.flip_bit=True") for seed in (0, 1)]
    with pytest.raises(UserError, match=r"train\.flip_bit: does not work with replicas"):
        train_replicas(configs, [tmp_path / "a", tmp_path / "b"])
    assert not list(tmp_path.iterdir())
