"""A whole run compiles in its first step and its first evaluation, and never again."""

import os
import signal
from contextlib import nullcontext
from dataclasses import replace

import jax
import pytest

from cnn.training import loop
from cnn.training.interruption import InterruptedRun
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
