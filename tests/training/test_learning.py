"""What training is for: every family of networks learns a batch by heart, at users' own flags."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

# A network of each way in which networks are made, small enough to learn in seconds.
FAMILIES = {
    "plain": ("model.features=8,16",),
    "vgg11": ("model.features=8,8,8,8,8", "model.head=flatten(hidden=(16,))"),
    "all_cnn_c": ("model.dropout=0", "model.input_dropout=0"),
    "resnet20": ("model.features=8,16", "model.depths=1,1"),
    "preact_resnet50": ("model.features=8,16", "model.depths=1,1", "model.stem=cifar"),
    "mobilenet_v2": ("model.width=0.25", "model.stem=cifar"),
    "mobilenet_v3_small": ("model.features=8,16", "model.depths=1,1", "model.stem=cifar"),
    "regnet_y_400mf": ("model.features=8,16", "model.depths=1,1", "model.stem=cifar"),
    "repvgg_a0": ("model.features=8,16", "model.depths=1,1", "model.stem=cifar"),
    "convnextv2_atto": ("model.features=8,16", "model.depths=1,1", "model.stem=cifar"),
    "convnext_t": ("model.features=8,16", "model.depths=1,1", "model.stem=cifar"),
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
        name: ([*BATCH, f"model.name={name}", *own], str(root / name))
        for name, own in FAMILIES.items()
    }
    as_users_run(runs)
    return {name: losses_of(root / name) for name in FAMILIES}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_learns_a_batch_by_heart(losses, name):
    assert losses[name][0] > 0.5
    assert min(losses[name][-5:]) < 0.05 * losses[name][0], losses[name]
