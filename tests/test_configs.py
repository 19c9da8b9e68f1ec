"""Every config file loads, builds and takes a step; every field has a reader."""

import ast

import jax
import numpy as np
import pytest

from cnn.config.base import FIELDS
from cnn.config.load import load
from cnn.data import open_dataset
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.plan import make_training_plan
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
    if config.model.name == "resnet50":
        extra += ["model.features=8,8", "model.depths=1,1"]
    shape = f"data.synthetic_shape={SHAPES[config.data.signal]}"
    loaded = load(path, [*SMALL, shape, *extra])
    return loaded.config


@pytest.mark.parametrize("path", CONFIGS)
def test_every_config_takes_a_step(path):
    config = load_small(path)
    dataset = open_dataset(config.data)
    evaluator = make_evaluator(config, dataset)
    trainer = make_trainer(evaluator, make_training_plan(config, len(dataset.train), 1))
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


def names_read():
    """Returns (the last name of an object, an attribute or constant key of it) of all of cnn.

    In `config.train.batch_size` that is ("train", "batch_size"), in `model["stem"]` ("model",
    "stem"), and of `steps("log", "every")`, which resolves durations by name, ("log", "every").
    """
    found = set()
    for file in (REPOSITORY / "cnn").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute):
                found.add((last_name(node.value), node.attr))
            elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                found.add((last_name(node.value), node.slice.value))
            elif isinstance(node, ast.Call) and last_name(node.func) in ("steps", "getattr"):
                texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
                found.add(tuple(texts) if len(texts) == 2 else ("", ""))
    return found


def last_name(node):
    return getattr(node, "attr", getattr(node, "id", "")).lstrip("_")


# What else a section is called where it is read, beside its own last name.
ALIASES = {
    "data": ("section",),
    "optimizer": ("c",),
    "model": ("filled", "style"),
    "sound": ("features", "self"),
    "": ("config",),
}


def is_read(name, found):
    section, _, short = name.rpartition(".")
    own = section.rpartition(".")[2]
    return any((base, short) in found for base in (own, *ALIASES.get(own, ())))


def test_every_field_is_read_somewhere():
    found = names_read()
    assert not [name for name in FIELDS if not is_read(name, found)]
    # A field that nobody reads is found, in every section.
    for name in FIELDS:
        assert not is_read(f"{name}_again", found)


def test_every_field_says_what_it_means():
    assert not [name for name, field in FIELDS.items() if not field.meaning]
