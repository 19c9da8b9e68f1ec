"""One device and eight give the same run, and an evaluation does not depend on how it is cut."""

import json
import os
import signal
import subprocess
import sys
from functools import cache

import jax
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.evaluation.checkpointed_run import open_run
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.evaluate import evaluate
from cnn.training.interruption import InterruptedRun
from cnn.training.loop import train
from cnn.training.mesh import make_mesh, unused_devices
from cnn.training.metrics import summarize
from cnn.training.plan import make_training_plan
from tests.conftest import REPOSITORY, tiny_config

# float32 sums of another order; measured differences are a tenth of these.
TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}
AUGMENTED = (
    "augment.flip=True",
    "augment.pad=2",
    "augment.cutout=3",
    "augment.mixup=0.3",
    "model.dropout=0.3",
    "train.ema_decay=0.9",
    "train.label_smoothing=0.1",
    "optimizer.learning_rate=1.0",
)


def assemble(*overrides):
    config = tiny_config(*overrides)
    dataset = open_dataset(config.data)
    evaluator = make_evaluator(config, dataset)
    plan = make_training_plan(config, len(dataset.train), evaluator.mesh.size)
    return evaluator, make_trainer(evaluator, plan)


@cache
def run(*overrides, steps=4):
    """Returns the state after some steps, and the sums of each."""
    _, trainer = assemble(*overrides)
    state, all_sums = trainer.new_state(), []
    for batch in trainer.feed.batches(0, steps):
        state, sums = trainer.step(state, batch)
        all_sums.append(jax.device_get(sums))
    return state, all_sums


def assert_close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **TOLERANCE), a, b)


@pytest.mark.parametrize("placement", ["device", "stream"])
def test_eight_devices_train_as_one(placement):
    overrides = (*AUGMENTED, f"data.placement={placement}")
    one, sums_of_one = run(*overrides, "mesh.devices=1")
    eight, sums_of_eight = run(*overrides, "mesh.devices=8")
    assert len(eight.params["head"]["classifier"]["kernel"].sharding.device_set) == 8
    assert_close(sums_of_one, sums_of_eight)
    # SGD's first momentum is the gradient: states equal after some steps means gradients were.
    assert_close(jax.device_get(one), jax.device_get(eight))


@pytest.mark.parametrize(("devices", "fsdp"), [(4, 2), (8, 8)])
def test_devices_that_share_a_state_train_as_one(devices, fsdp):
    own = *AUGMENTED, "model.features=8,8"
    one, sums_of_one = run(*own, "mesh.devices=1")
    many, sums_of_many = run(*own, f"mesh.devices={devices}", f"mesh.fsdp={fsdp}")
    for tree in (many.params, many.ema["params"], many.opt_state):
        kernels = [x for x in jax.tree.leaves(tree) if x.ndim == 4]
        assert kernels
        assert all(k.addressable_shards[0].data.size == k.size // fsdp for k in kernels)
    assert_close(sums_of_one, sums_of_many)
    assert_close(jax.device_get(one), jax.device_get(many))


def test_a_shared_state_is_saved_restored_on_other_devices_and_evaluated_on_one(tmp_path):
    own = "model.features=8,8", "log.trackers=", "train.ema_decay=0.9"
    four = tiny_config(*own, "mesh.devices=4", "mesh.fsdp=4")

    def stop():
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRun):
        train(four, str(tmp_path / "run"), quiet=True, alive=stop)
    pairs = tiny_config(*own, "mesh.devices=4", "mesh.fsdp=2")
    result = train(pairs, str(tmp_path / "run"), quiet=True)
    straight = train(tiny_config(*own), str(tmp_path / "straight"), quiet=True)
    assert result["test"]["loss"] == pytest.approx(straight["test"]["loss"], rel=1e-4)
    alone = "mesh.devices=1", "mesh.fsdp=1"
    loaded = open_run(str(tmp_path / "run"), overrides=alone)
    assert all(len(x.sharding.device_set) == 1 for x in jax.tree.leaves(loaded.variables))
    losses = loaded.outcomes("test")["loss"]
    assert losses.mean(dtype=np.float64) == pytest.approx(result["test"]["loss"], rel=1e-6)
    # A run of more devices than there are here is evaluated on those, unless others are asked for.
    file = tmp_path / "run" / "config.json"
    record = json.loads(file.read_text())
    record["config"]["mesh"] = {"devices": 24, "fsdp": 12}
    del record["sha256"]
    file.write_text(json.dumps(record))
    here = open_run(str(tmp_path / "run"))
    assert here.remarks == (
        "the run used mesh.devices=24, mesh.fsdp=12; 8 devices are available here: evaluated with "
        "mesh.fsdp=4",
    )
    np.testing.assert_allclose(here.outcomes("test")["loss"], losses, rtol=1e-5)
    with pytest.raises(UserError, match="24 devices are requested, but 8 are available"):
        open_run(str(tmp_path / "run"), overrides=["mesh.fsdp=1"])


@pytest.mark.parametrize(("devices", "fsdp"), [(4, 3), (1, 2)])
def test_devices_that_cannot_be_taken_so_many_at_a_time_are_refused(devices, fsdp):
    with pytest.raises(UserError, match=rf"mesh\.fsdp: {fsdp} does not divide the {devices}"):
        make_mesh(devices, 16, fsdp)


def test_the_placement_of_the_data_changes_no_bit():
    states = [
        run(*AUGMENTED, f"data.placement={p}", "mesh.devices=1")[0] for p in ("device", "stream")
    ]
    assert jax.tree.all(jax.tree.map(np.array_equal, *map(jax.device_get, states)))


@pytest.mark.parametrize("devices", [1, 8])
def test_accumulation_equals_ghost_groups_of_the_large_batch(devices):
    """Micro-batches are every second example, which the ghost groups of a sorted batch match."""
    where = f"mesh.devices={devices}"
    accumulated, sums = run("train.accumulation=2", where, steps=1)
    _, trainer = assemble("model.ghost_batch=8", where)
    (batch,) = trainer.feed.batches(0, 1)
    index = np.asarray(batch["index"])
    ordered = np.concatenate([index[0::2], index[1::2]])
    batch["index"] = jax.device_put(ordered, batch["index"].sharding)
    large, large_sums = trainer.step(trainer.new_state(), batch)
    assert_close(sums[0], jax.device_get(large_sums))
    assert_close(jax.device_get(accumulated), jax.device_get(large))


def evaluation(split, *overrides):
    evaluator, _ = assemble(*overrides)
    part = getattr(evaluator.dataset, split)
    feed = evaluator.feed(part)
    outcomes = evaluate(evaluator.step, evaluator.new_state().variables(), feed)
    return outcomes, summarize(outcomes, evaluator.dataset.class_names)


@pytest.fixture(scope="module")
def one_by_one():
    return evaluation("test", "evaluation.batch_size=1")


# Each batch size with both numbers of devices and both placements, and these two in all pairs.
@pytest.mark.parametrize(
    ("batch_size", "devices", "placement"),
    [
        *((size, 1, "device") for size in (5, 37)),
        *((size, 8, "stream") for size in (5, 37)),
        *((size, 1, "stream") for size in (36, 64)),
        *((size, 8, "device") for size in (36, 64)),
    ],
)
def test_an_evaluation_does_not_depend_on_how_it_is_cut(one_by_one, batch_size, devices, placement):
    outcomes, metrics = evaluation(
        "test",
        f"evaluation.batch_size={batch_size}",
        f"mesh.devices={devices}",
        f"data.placement={placement}",
    )
    wanted_outcomes, wanted = one_by_one
    np.testing.assert_array_equal(outcomes["label"], wanted_outcomes["label"])
    np.testing.assert_array_equal(outcomes["prediction"], wanted_outcomes["prediction"])
    assert metrics["count"] == 37
    assert metrics | {"loss": 0} == wanted | {"loss": 0}
    assert metrics["loss"] == pytest.approx(wanted["loss"], rel=1e-6)


def test_an_evaluation_that_misses_an_example_fails():
    evaluator, _ = assemble()
    feed = evaluator.feed(evaluator.dataset.test)

    class Short:
        split, arrays = feed.split, feed.arrays

        def batches(self):
            yield from list(feed.batches())[:-1]

    with pytest.raises(RuntimeError, match="32 examples of 37"):
        evaluate(evaluator.step, evaluator.new_state().variables(), Short())


def test_exactly_as_many_updates_as_planned():
    state, _ = run(steps=12)
    assert int(state.step) == 12


def test_nothing_is_compiled_after_the_first_step_and_the_first_evaluation():
    evaluator, trainer = assemble("mesh.devices=8")
    state = trainer.new_state()
    feed = evaluator.feed(evaluator.dataset.test)
    for batch in trainer.feed.batches(0, 5):
        state, _ = trainer.step(state, batch)
        evaluate(evaluator.step, state.variables(), feed)
    assert trainer.update._cache_size() == 1
    assert evaluator.step._cache_size() == 1


@pytest.mark.parametrize(
    ("asked", "examples", "devices"), [(0, 256, 8), (0, 64, 2), (0, 96, 3), (0, 12, 1), (8, 16, 8)]
)
def test_cores_share_a_batch_that_is_large_enough(asked, examples, devices):
    assert make_mesh(asked, examples).size == devices


def test_a_mesh_says_why_it_has_fewer_devices():
    assert unused_devices(make_mesh(0, 256), 0) == ""
    assert unused_devices(make_mesh(2, 256), 2) == " (of 8: mesh.devices=2)"
    assert unused_devices(make_mesh(0, 64), 0).startswith(" (of 8: the most that divide the batch")


def test_every_core_is_a_device_unless_the_environment_says_otherwise():
    code = (
        "import jax, os; from cnn.training.mesh import count_cores_as_devices; "
        "count_cores_as_devices(); print(jax.device_count(), len(os.sched_getaffinity(0)))"
    )
    for flags, expected in (("", None), ("--xla_force_host_platform_device_count=3", 3)):
        environment = os.environ | {"XLA_FLAGS": flags}
        command = [sys.executable, "-c", code]
        output = subprocess.run(
            command, env=environment, cwd=REPOSITORY, capture_output=True, check=True, text=True
        )
        devices, cores = map(int, output.stdout.split())
        assert devices == (expected or cores)
