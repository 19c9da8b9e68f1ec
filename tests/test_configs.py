"""Every config file loads, builds and takes a step; every field has a reader."""

import re

import jax
import numpy as np
import pytest

from cnn.config.base import FIELDS
from cnn.config.fields import leaves
from cnn.config.load import load
from cnn.data import open_dataset
from cnn.layers import Style
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.plan import resolve
from configs import base
from tests.conftest import REPOSITORY

CONFIGS = sorted(
    str(p.relative_to(REPOSITORY))
    for p in (REPOSITORY / "configs").glob("*.py")
    if p.name != "__init__.py"
)
SHAPES = {"image": "32,32,3", "sound": "8000,1", "video": "16,16,16,1"}
# The same run on examples that need no download, small enough for a test.
SMALL = (
    "data.source=synthetic",
    "data.synthetic_examples=80,16",
    "data.train_split=train",
    "data.test_split=test",
    "data.validation=10%",
    "train.batch_size=8",
    "train.duration=1000 steps",
    "mesh.devices=1",
)


def load_small(path):
    config = load(path).config
    extra = ["schedule.boundaries=30%,60%"] if config.schedule.name == "step" else []
    extra += ["model.ghost_batch=4"] if config.model.ghost_batch else []
    extra += ["model.depths=1,1,1,1"] if config.model.name == "resnet50" else []
    shape = f"data.synthetic_shape={SHAPES[config.data.signal]}"
    loaded = load(path, [*SMALL, shape, *extra])
    return loaded.config


@pytest.mark.parametrize("path", CONFIGS)
def test_every_config_takes_a_step(path):
    config = load_small(path)
    dataset = open_dataset(config.data)
    evaluator = make_evaluator(config, dataset)
    trainer = make_trainer(evaluator, resolve(config, len(dataset.train), 1))
    state = trainer.new_state()
    before = jax.device_get(state.params)
    (batch,) = trainer.feed.batches(0, 1)
    state, sums = trainer.step(state, batch)
    assert np.isfinite(float(sums["loss"]))
    assert int(state.step) == 1
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, jax.device_get(state.params))
    assert any(jax.tree.leaves(moved))


@pytest.mark.parametrize("path", CONFIGS)
def test_a_config_says_what_it_is_for(path):
    lines = (REPOSITORY / path).read_text().splitlines()
    assert lines[0].startswith('"""')
    assert path == "configs/base.py" or any("train" in line for line in lines[1:4])


def test_every_field_is_read_somewhere():
    code = "".join(p.read_text() for p in (REPOSITORY / "cnn").rglob("*.py"))
    # A section is read whole where its fields are taken by their names (Style).
    by_name = set(Style.__dataclass_fields__)
    unread = [
        name
        for name, _ in leaves(base.get_config())
        if not re.search(rf"\.{name.split('.')[-1]}\b", code)
        and not re.search(rf"\"{name.split('.')[-1]}\"", code)
        and name.split(".")[-1] not in by_name
    ]
    assert not unread


def test_every_field_says_what_it_means():
    assert not [name for name, field in FIELDS.items() if not field.meaning]
