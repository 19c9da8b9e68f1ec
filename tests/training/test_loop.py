"""A whole run compiles in its first step and its first evaluation, and never again."""

from types import SimpleNamespace

import jax
import pytest

from cnn.data import open_dataset
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.console import Display
from cnn.training.device import UPDATE, Device
from cnn.training.interruption import InterruptedRun
from cnn.training.loop import Run
from cnn.training.plan import resolve
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


class Watched(Device):
    """Notes how many programs there were after each answer; interrupts the run after a step."""

    def __init__(self, *parts, lowered, interruption, stop):
        super().__init__(*parts)
        self.lowered, self.interruption, self.stop = lowered, interruption, stop
        self.asked, self.counts = [], []

    def answer(self, request):
        if self.asked:
            self.counts.append(len(self.lowered))
        self.asked.append("update" if request is UPDATE else "evaluation")
        answer = super().answer(request)
        if self.asked.count("update") == self.stop:
            self.interruption.signal = 15
        return answer


def run(config, workdir, lowered, stop=-1):
    dataset = open_dataset(config.data)
    evaluator = make_evaluator(config, dataset)
    plan = resolve(config, len(dataset.train), evaluator.mesh.size)
    interruption = SimpleNamespace(signal=None)
    watch = {"lowered": lowered, "interruption": interruption, "stop": stop}
    device = Watched(evaluator, make_trainer(evaluator, plan), **watch)
    whole = Run(RunFolder(workdir), Display(quiet=True), evaluator, device, plan, interruption)
    try:
        device.drive(whole.steps())
    except InterruptedRun:
        assert stop > 0
    return device.asked, [*device.counts, len(lowered)]


@pytest.mark.parametrize("placement", ["device", "stream"])
def test_nothing_is_compiled_behind_the_first_step_and_the_first_evaluation(
    tmp_path, lowered, placement
):
    # 62 examples in batches of 16 and 10 or 37 in evaluations of 16, so some batches are partial.
    config = tiny_config(f"data.placement={placement}", "train.ema_decay=0.9", "augment.flip=True")
    for stop, updates in ((7, 7), (-1, 5)):
        asked, counts = run(config, tmp_path / "run", lowered, stop)
        assert asked.count("update") == updates
        assert asked.count("evaluation") == (1 if stop > 0 else 3)
        first = asked.index("evaluation")
        assert counts[0] > 0
        assert counts[first] == counts[-1], lowered[counts[first] :]
