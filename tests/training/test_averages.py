"""Runs whose optimizer carries more than momentum go on exactly, and evaluate what they should."""

import os
import signal

import jax
import numpy as np
import optax
import pytest

from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.evaluation.checkpointed_run import open_run
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.checkpoint import Checkpoints
from cnn.training.interruption import InterruptedRun
from cnn.training.loop import train
from cnn.training.plan import make_training_plan
from cnn.training.run_folder import RunFolder
from cnn.training.stored_weights import read_weights
from tests.conftest import tiny_config

FREE = ("optimizer.schedule_free=0.9", "optimizer.momentum=0", "schedule.name=constant")
CASES = {
    "schedule_free": FREE,
    "lookahead": ("train.ema_decay=0.9", "train.lookahead=3", "train.ema_ramp=cubic"),
    "sam": ("optimizer.ascent=sam(rho=0.1)",),
    "prodigy": ("optimizer.name=prodigy(start=0.001)", "optimizer.learning_rate=1"),
}


def train_state(workdir, config):
    evaluator = make_evaluator(config, open_dataset(config.data))
    plan = make_training_plan(config, len(evaluator.dataset.train), 1)
    like = make_trainer(evaluator, plan).abstract_state()
    checkpoints = Checkpoints(RunFolder(workdir).checkpoints, read_only=True)
    state, meta = checkpoints.restore(checkpoints.steps()[-1], like)
    checkpoints.close()
    return state, meta["sha256"]


@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_run_goes_on_exactly(case, tmp_path):
    config = tiny_config(*CASES[case], "log.trackers=")
    whole = train(config, tmp_path / "whole", quiet=True)
    calls = iter(range(99))

    def stop():
        if next(calls) == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRun):
        train(config, tmp_path / "parts", quiet=True, alive=stop)
    parts = train(config, tmp_path / "parts", quiet=True)
    assert parts["test"] == whole["test"]
    state, digest = train_state(tmp_path / "whole", config)
    assert train_state(tmp_path / "parts", config)[1] == digest
    if case == "schedule_free":
        _check_what_is_evaluated(tmp_path / "whole", state)


def _check_what_is_evaluated(workdir, state):
    wanted = optax.contrib.schedule_free_eval_params(state.opt_state, state.params)
    stored = read_weights(str(workdir), "x").variables["params"]
    opened = open_run(str(workdir)).variables["params"]
    for leaf, a, b, trained in zip(
        *map(jax.tree.leaves, (wanted, stored, opened, state.params)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, leaf, rtol=1e-6, atol=1e-7)
        assert (np.asarray(trained) != a).any()


def test_two_averages_are_refused(tmp_path):
    config = tiny_config(*FREE, "train.ema_decay=0.9")
    with pytest.raises(UserError, match=r"ema_decay: 0.9 conflicts with optimizer.schedule_free"):
        train(config, tmp_path, quiet=True)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("override", ["train.lookahead=5", "train.ema_ramp=cubic"])
def test_look_ahead_needs_an_average(override, tmp_path):
    with pytest.raises(UserError, match=r"has no effect without train.ema_decay"):
        train(tiny_config(override), tmp_path, quiet=True)
    assert not any(tmp_path.iterdir())
