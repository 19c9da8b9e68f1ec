"""Whatever collections of variables a network has are trained, averaged, saved and evaluated."""

import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.evaluation.checkpointed_run import open_run
from cnn.layers import DOWNSAMPLERS
from cnn.layers.downsample import Card, Operator
from cnn.ops.average import avg_pool
from cnn.training.checkpoint import Checkpoints
from cnn.training.interruption import InterruptedRun
from cnn.training.loop import train
from cnn.training.replicas import train_replicas
from cnn.training.run_folder import RunFolder
from tests.conftest import tiny_config

FIELDS = (
    "model.downsample=centred",
    "train.ema_decay=0.9",
    "train.accumulation=2",
    "checkpoint.keep=9",
    "log.trackers=",
)


def centred(layer, x, train, phase):
    """Average pooling of what is left of the input after its running mean; it counts its calls."""
    shape = x.shape[-1:]
    mean = layer.variable("running", "mean", jnp.zeros, shape, jnp.float32)
    calls = layer.variable("running", "calls", jnp.zeros, (), jnp.int32)
    if train:
        axes = tuple(range(x.ndim - 1))
        mean.value = 0.9 * mean.value + 0.1 * jax.lax.stop_gradient(x).mean(axes)
        calls.value += 1
    return avg_pool(x - mean.value, layer.along(2), layer.strides, "SAME")


@pytest.fixture(autouse=True, scope="module")
def operator():
    card = Card(formula="y = mean(x - running mean)", reference="made up")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DOWNSAMPLERS._entries, "centred", Operator(centred, card))
        patch.setitem(DOWNSAMPLERS._reads, "centred", frozenset())
        yield


def left_by(workdir):
    """Returns the digests of all checkpoints, the rows of the log and the predictions."""
    folder = RunFolder(workdir)
    checkpoints = Checkpoints(folder.checkpoints, read_only=True)
    like = open_run(str(workdir)).evaluator.abstract_state()
    digests = {step: checkpoints.restore(step, like)[1]["sha256"] for step in checkpoints.steps()}
    checkpoints.close()
    rows = [json.loads(line) for line in folder.metrics_file.read_text().splitlines()]
    kept = [(r["step"], r["name"], r["value"]) for r in rows if "images" not in r["name"]]
    with np.load(folder.predictions_file) as file:
        predictions = {name: file[name].tolist() for name in file.files}
    return digests, kept, predictions


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    train(tiny_config(*FIELDS), str(workdir), quiet=True)
    return workdir


def test_an_operator_with_running_state_trains_and_evaluates(straight):
    run = open_run(str(straight))
    state = run.evaluator.abstract_state()
    assert set(state.collections) == {"batch_stats", "running"}
    calls = [v for v in jax.tree.leaves(run.variables["running"]) if v.dtype == jnp.int32]
    # Micro-batches see the same old state, so a step is one call.
    assert [int(v) for v in calls] == [12] * 2
    outcomes = run.outcomes("test")
    with np.load(run.folder.predictions_file) as file:
        np.testing.assert_array_equal(outcomes["loss"], file["loss"])


def test_a_resumed_run_ends_in_the_same_bytes(straight, tmp_path):
    steps = []

    def stop():
        steps.append(1)
        if len(steps) == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    resumed = str(tmp_path / "resumed")
    with pytest.raises(InterruptedRun):
        train(tiny_config(*FIELDS), resumed, quiet=True, alive=stop)
    train(tiny_config(*FIELDS), resumed, quiet=True)
    digests, *rest = left_by(resumed)
    wanted, *wanted_rest = left_by(straight)
    assert digests.pop(7)
    assert (digests, rest) == (wanted, wanted_rest)
    assert set(wanted[12]) == {"step", "params", "batch_stats", "running", "ema", "opt_state"}


def test_replicas_carry_it_too(straight, tmp_path):
    train_replicas(
        [tiny_config(*FIELDS, f"seed={s}") for s in (0, 1)], [tmp_path / s for s in "ab"]
    )
    _, rows, predictions = left_by(tmp_path / "a")
    _, wanted_rows, wanted_predictions = left_by(straight)
    assert rows == wanted_rows
    assert predictions == wanted_predictions


@pytest.mark.parametrize("fsdp", [1, 2])
def test_eight_devices_agree_with_one(straight, tmp_path, fsdp):
    config = tiny_config(*FIELDS, "mesh.devices=8", f"mesh.fsdp={fsdp}")
    train(config, str(tmp_path / "eight"), quiet=True)
    one, eight = open_run(str(straight)), open_run(str(tmp_path / "eight"))
    for a, b in zip(*(jax.tree.leaves(run.variables) for run in (one, eight)), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
