"""Seeds that share a program leave what single runs of them leave, whatever happens to one."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain

import jax
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.training import replicas
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.checkpoint import Checkpoints
from cnn.training.loop import train
from cnn.training.metrics import NonFiniteLossError
from cnn.training.plan import make_training_plan
from cnn.training.replicas import train_replicas
from cnn.training.run_folder import RunFolder
from cnn.training.steps import Recipe
from tests.conftest import REPOSITORY, tiny_config

OWN = ("log.trackers=", "augment.flip=true", "model.dropout=0.2")
SEEDS = (3, 4)


def config_of(seed, *more):
    return tiny_config(*OWN, f"seed={seed}", *more)


def left_by(workdir):
    """Returns what a run folder holds, less the times: record, rows, states, predictions, test."""
    folder = RunFolder(workdir)
    rows = map(json.loads, folder.metrics_file.read_text().splitlines())
    kept = [
        (r["step"], r["split"], r["name"], r["value"]) for r in rows if "images" not in r["name"]
    ]
    config = folder.config()
    dataset = open_dataset(config.data)
    evaluator = make_evaluator(config, dataset, devices=1)
    like = make_trainer(
        evaluator, make_training_plan(config, len(dataset.train), 1)
    ).abstract_state()
    checkpoints = Checkpoints(folder.checkpoints, read_only=True)
    states = [checkpoints.restore(step, like)[0] for step in checkpoints.steps()]
    checkpoints.close()
    states = [[np.asarray(leaf) for leaf in jax.tree.leaves(state)] for state in states]
    with np.load(folder.predictions_file) as file:
        predictions = {name: file[name].tobytes() for name in file.files}
    result = folder.result()
    timeless = {name: result[name] for name in ("step", "seed", "test", "validation", "best")}
    return folder.record(), kept, states, predictions, timeless


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Single runs."""
    root = tmp_path_factory.mktemp("alone")
    for seed in SEEDS:
        train(config_of(seed), str(root / str(seed)), quiet=True)
    return {seed: left_by(root / str(seed)) for seed in SEEDS}


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The same runs as replicas that nothing disturbed, and how often the step was traced."""
    root, traced = tmp_path_factory.mktemp("together"), []
    make = replicas.make_train_step

    def counted(recipe):
        step = make(recipe)
        return lambda *arguments: traced.append(1) or step(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replicas, "make_train_step", counted)
        train_replicas([config_of(s) for s in SEEDS], [root / str(s) for s in SEEDS])
    return {seed: left_by(root / str(seed)) for seed in SEEDS}, len(traced)


def assert_as_alone(left, alone):
    """Rows, predictions and metrics agree to the bit; states to rounding of the update."""
    record, rows, states, *rest = left
    wanted_record, wanted_rows, wanted_states, *wanted_rest = alone
    assert (record, rows, rest) == (wanted_record, wanted_rows, wanted_rest)
    for state, wanted in zip(states, wanted_states, strict=True):
        for mine, theirs in zip(state, wanted, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_replicas_leave_what_single_runs_leave_and_compile_once(alone, together):
    left, traced = together
    assert traced == 1
    for seed in SEEDS:
        assert_as_alone(left[seed], alone[seed])


def test_several_replicas_on_one_device_take_turns(alone, tmp_path, monkeypatch):
    one = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: one)
    train_replicas([config_of(s) for s in SEEDS], [tmp_path / str(s) for s in SEEDS])
    for seed in SEEDS:
        losses = [value for _, _, name, value in left_by(tmp_path / str(seed))[1] if name == "loss"]
        wanted = [value for _, _, name, value in alone[seed][1] if name == "loss"]
        np.testing.assert_allclose(losses, wanted, rtol=1e-4)


def test_a_killed_group_goes_on_bit_for_bit(together, tmp_path):
    program = (
        "import sys; from tests.conftest import tiny_config; "
        "from cnn.training.replicas import train_replicas; "
        f"train_replicas([tiny_config(*{OWN!r}, f'seed={{s}}') for s in {SEEDS!r}], "
        f"[sys.argv[1] + f'/{{s}}' for s in {SEEDS!r}])"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    process = subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True)
    saved = tmp_path / str(SEEDS[0]) / "checkpoints" / "3"
    deadline = time.monotonic() + 300
    while not saved.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    train_replicas([config_of(s) for s in SEEDS], [tmp_path / str(s) for s in SEEDS])
    for seed in SEEDS:
        left, wanted = left_by(tmp_path / str(seed)), together[0][seed]
        assert_as_alone(left, wanted)
        for mine, theirs in zip(chain(*left[2]), chain(*wanted[2]), strict=True):
            assert mine.tobytes() == theirs.tobytes()


def test_replicas_at_different_steps_end_as_alone(alone, tmp_path):
    class StopError(Exception):
        pass

    folder = tmp_path / str(SEEDS[0])
    with pytest.MonkeyPatch.context() as patch:
        save = Checkpoints.save

        def once(self, step, *rest):
            save(self, step, *rest)
            self.wait()
            raise StopError

        patch.setattr(Checkpoints, "save", once)
        with pytest.raises(StopError):
            train(config_of(SEEDS[0]), str(folder), quiet=True)
    train_replicas([config_of(s) for s in SEEDS], [tmp_path / str(s) for s in SEEDS])
    for seed in SEEDS:
        assert_as_alone(left_by(tmp_path / str(seed)), alone[seed])


def test_a_seed_that_diverges_takes_no_other_down(alone, tmp_path, monkeypatch):
    init = Recipe.init

    def poisoned(self, seed, input_shape):
        state = init(self, seed, input_shape)
        bad = jax.numpy.where(seed == SEEDS[1], jax.numpy.nan, 1.0)
        return state.replace(params=jax.tree.map(lambda x: x * bad, state.params))

    monkeypatch.setattr(Recipe, "init", poisoned)
    endings = train_replicas([config_of(s) for s in SEEDS], [tmp_path / str(s) for s in SEEDS])
    assert isinstance(endings[1], NonFiniteLossError)
    assert not RunFolder(tmp_path / str(SEEDS[1])).result_file.exists()
    assert_as_alone(left_by(tmp_path / str(SEEDS[0])), alone[SEEDS[0]])


def test_replicas_differ_in_seeds_alone(tmp_path):
    two = [config_of(0), config_of(1, "optimizer.learning_rate=0.2")]
    with pytest.raises(UserError, match=r"optimizer\.learning_rate"):
        train_replicas(two, [tmp_path / "0", tmp_path / "1"])
    assert not list(tmp_path.iterdir())
