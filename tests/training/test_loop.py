"""The loop: when it compiles, what counts as best, and what happens to its folder meanwhile."""

import json
import os
import shutil
import signal
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import jax
import pytest

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.training import loop, ownership, run_record
from cnn.training.interruption import InterruptedRun
from cnn.training.logs import read_metrics
from cnn.training.metrics import NonFiniteLossError
from cnn.training.run_folder import RunFolder
from tests.conftest import tiny_config

LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"


@pytest.fixture
def lowered():
    """The programs that were lowered, each of which is compiled or looked up in the cache."""
    names = []

    def note(event, seconds, **about):
        if event == LOWERED:
            names.append(about.get("fun_name", "?"))

    jax.monitoring.register_event_duration_secs_listener(note)
    yield names
    jax.monitoring.unregister_event_duration_listener(note)


def train_watched(config, workdir, lowered, stop, monkeypatch):
    """Trains, with SIGTERM during a step.

    Returns:
      What the device was asked for, and how many programs had been lowered after each answer.
    """
    asked, counts, make, evaluate = [], [], loop.make_trainer, loop.evaluate

    def noting(request, function):
        def noted(*arguments):
            if asked:
                counts.append(len(lowered))
            asked.append(request)
            return function(*arguments)

        return noted

    def watched(*arguments):
        trainer = make(*arguments)
        return replace(trainer, update=noting("update", trainer.update))

    def alive():
        if asked.count("update") == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "make_trainer", watched)
    monkeypatch.setattr(loop, "evaluate", noting("evaluation", evaluate))
    with pytest.raises(InterruptedRun) if stop else nullcontext():
        loop.train(config, str(workdir), quiet=True, alive=alive)
    monkeypatch.undo()
    return asked, [*counts, len(lowered)]


@pytest.mark.parametrize("placement", ["device", "stream"])
def test_nothing_is_compiled_behind_the_first_step_and_the_first_evaluation(
    tmp_path, lowered, placement, monkeypatch
):
    # 52 examples in batches of 16 and 20 or 37 in evaluations of 16, so some batches are partial.
    config = tiny_config(
        f"data.placement={placement}",
        "data.validation=20 examples",
        "train.ema_decay=0.9",
        "augment.flip=True",
    )
    for stop, updates in ((7, 7), (None, 5)):
        asked, counts = train_watched(config, tmp_path / "run", lowered, stop, monkeypatch)
        assert asked.count("update") == updates
        assert asked.count("evaluation") == (1 if stop else 3)
        first = asked.index("evaluation")
        assert counts[0] > 0
        assert counts[first] == counts[-1], lowered[counts[first] :]


def trained(workdir, *overrides):
    """Trains, with a validation and a checkpoint after every second step; returns the record."""
    fields = "evaluation.every=2 steps", "checkpoint.every=2 steps", "checkpoint.keep=9"
    config = tiny_config(*fields, "log.trackers=", *overrides)
    result = loop.train(config, str(workdir), quiet=True)
    rows = read_metrics(RunFolder(workdir).metrics_file)
    losses = {r["step"]: r["value"] for r in rows if (r["split"], r["name"]) == VALIDATION_LOSS}
    return result, losses


VALIDATION_LOSS = "validation", "loss"


def test_the_best_is_by_the_metric_that_the_config_names(tmp_path):
    result, losses = trained(tmp_path / "run", "checkpoint.best_metric=loss")
    best = min(losses, key=losses.get)
    assert result["best"] == {"step": best, "loss": losses[best]}
    assert open_run(str(tmp_path / "run"), step="best").step == best


def test_a_best_metric_that_is_not_measured_is_refused(tmp_path):
    few = "checkpoint.best_metric=top5_accuracy", "data.synthetic_classes=3"
    with pytest.raises(UserError, match=r"checkpoint\.best_metric: .*more than five classes"):
        trained(tmp_path / "run", *few)
    assert not (tmp_path / "run").exists()


def test_an_evaluation_may_be_cut_otherwise_when_a_run_goes_on(tmp_path):
    def stop():
        os.kill(os.getpid(), signal.SIGTERM)

    fields = "log.trackers=", "data.validation=20 examples"
    with pytest.raises(InterruptedRun):
        loop.train(tiny_config(*fields), str(tmp_path / "run"), quiet=True, alive=stop)
    smaller = tiny_config(*fields, "evaluation.batch_size=5")
    result = loop.train(smaller, str(tmp_path / "run"), quiet=True)["test"]
    straight = loop.train(tiny_config(*fields), str(tmp_path / "straight"), quiet=True)["test"]
    assert result | {"loss": 0} == straight | {"loss": 0}
    assert result["loss"] == pytest.approx(straight["loss"], rel=1e-6)


def test_the_seconds_of_all_starts_count(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(run_record, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def tick(stop):
        def alive():
            now[0] += 10
            if now[0] == stop:
                os.kill(os.getpid(), signal.SIGTERM)

        return alive

    config, folder = tiny_config("log.trackers="), str(tmp_path / "run")
    with pytest.raises(InterruptedRun):
        loop.train(config, folder, quiet=True, alive=tick(50))
    # Twelve steps of ten seconds each, in two starts.
    assert loop.train(config, folder, quiet=True, alive=tick(None))["seconds"] == 120


@pytest.mark.parametrize(("part", "held_out"), [("validation", "10 examples"), ("test", "0%")])
def test_a_network_that_is_not_finite_has_no_result(tmp_path, part, held_out):
    config = tiny_config(
        "train.duration=1 steps",
        "optimizer.learning_rate=1e30",
        "schedule.name=constant",
        f"data.validation={held_out}",
        "log.trackers=",
    )
    # The loss of the only step is still finite, and so is the state after it.
    with pytest.raises(NonFiniteLossError, match=f"the {part} loss is (nan|inf)"):
        loop.train(config, str(tmp_path / "run"), quiet=True)
    assert not (tmp_path / "run" / "result.json").exists()
    assert not (tmp_path / "run" / "test_predictions.npz").exists()


def at_update(number, action):
    """Returns a callback that acts after one of the updates."""
    updates = []

    def alive():
        updates.append(1)
        if len(updates) == number:
            action()

    return alive


def outcome(folder):
    """Returns the bytes of the test predictions of a run."""
    return (folder / "test_predictions.npz").read_bytes()


@pytest.mark.parametrize("last", [False, True])
def test_a_folder_that_is_moved_while_it_is_trained_ends_the_run(tmp_path, monkeypatch, last):
    monkeypatch.setattr(ownership, "HEARTBEAT", 1e6)
    config = tiny_config("log.trackers=", "checkpoint.every=2 steps", "data.validation=0%")
    run, moved = tmp_path / "run", tmp_path / "moved"
    alive = at_update(12 if last else 5, lambda: run.rename(moved))
    with pytest.raises(UserError, match="was moved or removed while it was being trained"):
        loop.train(config, str(run), quiet=True, alive=alive)
    assert not (run / "result.json").exists()
    (moved / "owner.json").unlink()  # names this process, which lives on
    loop.train(config, str(moved), quiet=True)
    loop.train(config, str(tmp_path / "straight"), quiet=True)
    assert outcome(moved) == outcome(tmp_path / "straight")


def test_an_old_checkpoint_may_be_deleted_while_its_run_is_trained(tmp_path):
    config = tiny_config("log.trackers=", "checkpoint.every=2 steps", "data.validation=0%")
    checkpoints = tmp_path / "run" / "checkpoints"
    alive = at_update(7, lambda: shutil.rmtree(checkpoints / "2"))
    assert loop.train(config, str(tmp_path / "run"), quiet=True, alive=alive)["step"] == 12
    assert not list(checkpoints.glob("2*"))


def test_ctrl_c_ends_the_wait_for_another_owner_at_once(tmp_path, monkeypatch):
    def press(seconds):
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the wait goes on")

    owner = {"machine": "another", "host": "h2", "pid": 1, "id": "x", "since": 1.0}
    ownership.owner_file(tmp_path).write_text(json.dumps(owner))
    monkeypatch.setattr(ownership.time, "sleep", press)
    with pytest.raises(KeyboardInterrupt):
        loop.train(tiny_config(), str(tmp_path), quiet=True)
    assert ownership.owner_of(tmp_path) == "x"
