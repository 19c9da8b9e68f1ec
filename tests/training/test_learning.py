"""What training is for: every family of networks learns a batch by heart."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn.models import MODELS, build
from tests.conftest import REPOSITORY
from tests.layers.cases import KEYS, image, quick
from tests.models.cases import (
    KINDS,
    OTHER_SHAPES,
    SHAPE,
    abstract,
    model_config,
    small_config,
    untrained,
)

# At users' flags: the rest, below, is compiled in a hurry.
OWN = {
    "plain": ("model.features=8,16",),
    "vgg11": ("model.features=8,8,8,8,8", "model.head=flatten(hidden=(16,))"),
    "resnet20": ("model.features=8,16", "model.depths=1,1"),
}
# Eight random images with labels at random: they can be known by heart and in no other way.
BATCH = (
    "data.source=synthetic",
    "data.synthetic_shape=16,16,3",
    "data.synthetic_examples=8,8",
    "data.synthetic_classes=4",
    "train.batch_size=8",
    "train.duration=150 steps",
    "optimizer.name=adamw",
    "optimizer.learning_rate=0.01",
    "optimizer.scaling=none",
    "optimizer.weight_decay=0",
    "log.every=1 steps",
    "checkpoint.every=0 steps",
    "log.trackers=",
    "mesh.devices=1",
)
PROGRAM = """
import json, sys
from cnn.config.load import load
from cnn.training.loop import train

for name, (overrides, workdir) in json.loads(sys.argv[1]).items():
    train(load("configs/base.py", overrides).config, workdir, quiet=True)
"""


def as_users_run(runs):
    """Trains in a process without what the tests set for themselves."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    command = [sys.executable, "-c", PROGRAM, json.dumps(runs)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def losses_of(workdir):
    rows = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [r["value"] for r in rows if (r["split"], r["name"]) == ("train", "loss")]


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    runs = {
        name: ([*BATCH, f"model.name={name}", *own], str(root / name)) for name, own in OWN.items()
    }
    as_users_run(runs)
    return {name: losses_of(root / name) for name in OWN}


@pytest.mark.parametrize("name", OWN)
def test_a_run_learns_a_batch_by_heart(losses, name):
    assert losses[name][0] > 0.5
    assert min(losses[name][-5:]) < 0.05 * losses[name][0], losses[name]


# One network for each way in which networks are made; the others have the same modules. A VGG of
# two stages leaves one of the four without an active unit; above is one of five.
FAMILIES = sorted({*KINDS, *OTHER_SHAPES} - {"resnet50_v1", "wrn16_4", "m11", "ds_cnn_m", "vgg11"})
# One per kind of block.
COVERING = {"plain", "all_cnn_c", "resnet20", "densenet121", "mobilenet_v2", "convnext_t", "m5"}


# Its logits pass a ReLU, which at the width of the others cuts an example off from every gradient.
WIDER = {"squeezenet1_1": {"width": 0.5}}


def problem(name):
    """Returns the variables of a small network, and (variables, images) -> (loss, new state)."""
    model = small_config(name, dropout=0.0, input_dropout=0.0, **WIDER.get(name, {}))
    shape = (4, *OTHER_SHAPES.get(name, SHAPE)[1:])
    module, labels = build(model, 10), jnp.arange(4)
    variables = untrained(abstract(model, shape)[1])

    def loss(params, others, x):
        rngs = {"dropout": KEYS["dropout"]}
        given = {"params": params, **others}
        logits, others = module.apply(given, x, True, mutable=[*others], rngs=rngs)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return each.mean(), others

    return variables.pop("params"), variables, image(*shape), loss


def flattened(params):
    """Returns parameters as one vector, away from their zeros and ones, and its inverse.

    An optimizer of one vector compiles faster than one of a hundred leaves.
    """
    leaves, tree = jax.tree.flatten(params)
    ends = np.cumsum([leaf.size for leaf in leaves])
    flat = np.concatenate([leaf.ravel() for leaf in leaves])
    flat += 0.1 * np.cos(np.arange(flat.size, dtype=np.float32))

    def unflatten(flat):
        parts = zip(jnp.split(flat, ends[:-1]), leaves, strict=True)
        return tree.unflatten(part.reshape(leaf.shape) for part, leaf in parts)

    return flat, unflatten


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in COVERING else pytest.mark.exhaustive) for n in FAMILIES],
)
def test_a_family_learns_a_batch_by_heart_and_every_parameter_gets_a_gradient(name):
    params, others, x, loss = problem(name)
    flat, unflatten = flattened(params)
    optimizer = optax.adam(0.01)

    @quick
    def update(flat, moments, others):
        def of_flat(flat):
            return loss(unflatten(flat), others, x)

        (value, others), gradient = jax.value_and_grad(of_flat, has_aux=True)(flat)
        changes, moments = optimizer.update(gradient, moments)
        largest = jax.tree.map(lambda g: jnp.abs(g).max(), unflatten(gradient))
        return flat + changes, moments, others, value, largest

    moments, losses = optimizer.init(flat), []
    while len(losses) < 200 and not (losses and losses[-1] < 0.01):
        flat, moments, others, value, largest = update(flat, moments, others)
        losses.append(float(value))
        if len(losses) == 1:
            for path, size in jax.tree_util.tree_leaves_with_path(largest):
                # A norm takes away what the biases of DS-CNN add before it.
                if not (name == "ds_cnn_s" and path[-1].key == "bias"):
                    assert 0 < size < np.inf, path
    assert losses[0] > 0.5
    assert losses[-1] < 0.01, losses


def test_every_kind_of_module_is_among_the_families():
    kinds = {type(build(model_config(name), 10)) for name in MODELS}
    assert {type(build(model_config(name), 10)) for name in (*FAMILIES, *OWN)} == kinds
