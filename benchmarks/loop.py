"""The training loop beside its bare compiled step, in turns: what everything around it costs.

    python benchmarks/loop.py [--repeats=7] [--only=tiny] [--out=FILE]

The loop is a whole run as `train.py` drives it: batches, metrics.jsonl, TensorBoard, checkpoints
and a progress bar. Bare is the same compiled update, on batches that lie on the devices already. A
turn holds three logged steps and one checkpoint: of the first run it is an epoch, as by default. It
is made in four parts that alternate with those of the bare step, because a machine drifts within
seconds.
"""

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
from ml_collections import ConfigDict

from benchmarks import record
from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError
from cnn.config.load import load
from cnn.cost.timing import turn_ratio, turns
from cnn.data import open_dataset
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.console import Display
from cnn.training.interruption import Interruption
from cnn.training.loop import run
from cnn.training.mesh import count_cores_as_devices
from cnn.training.plan import make_training_plan
from cnn.training.run_folder import RunFolder
from cnn.training.run_record import RunRecord
from cnn.training.start import use_compilation_cache
from cnn.training.state import TrainState

LIMIT = 1.03  # the loop's seconds over the bare step's
PARTS = 4  # of a turn


@dataclass(frozen=True)
class Case:
    """A run to measure.

    Attributes:
      config: its file.
      overrides: of the file.
      steps: of a turn.
    """

    config: str
    overrides: tuple[str, ...]
    steps: int


CASES = {
    "first run": Case("configs/fashion_mnist_10k.py", (), 148),
    # So small that the host is what there is to see.
    "tiny network": Case(
        "configs/base.py",
        (
            "data.source=synthetic",
            "data.synthetic_shape=8,8,3",
            "model.features=4,4",
            "train.batch_size=16",
            "mesh.devices=1",
        ),
        1000,
    ),
}


def config_of(case: Case) -> ConfigDict:
    """Returns the config of a run with logs in every third of a turn and a checkpoint a turn."""
    every = (
        "train.duration=100000 steps",
        "data.validation=0%",
        f"log.every={case.steps // 3} steps",
        f"checkpoint.every={case.steps} steps",
    )
    return load(case.config, (*case.overrides, *every)).config


class EnoughError(Exception):
    """Ends a run that is not wanted any longer."""


class Both:
    """A run under way, and the bare step on a state of its own; each call is a part of a turn.

    The run has a thread of its own, which waits after the last step of a part.
    """

    def __init__(self, config: ConfigDict, workdir: str, steps: int):
        dataset = open_dataset(config.data)
        evaluator = make_evaluator(config, dataset)
        plan = make_training_plan(config, len(dataset.train), evaluator.mesh.size)
        self._trainer = make_trainer(evaluator, plan)
        sources = self._trainer.sources
        self._record = RunRecord(RunFolder(workdir), Display(), evaluator, plan, sources)
        self._state, self._steps = self._trainer.new_state(), steps // PARTS
        self._batches = list(self._trainer.feed.batches(0, self._steps))
        self._latest: TrainState
        self._wanted = self._done = 0
        self._turn, self._turned, self._over = Semaphore(0), Semaphore(0), False
        self._thread = Thread(target=self._train)
        self._thread.start()
        # Checkpoints begin with a part then, and are written while its steps are made.
        self._advance(self._steps - 1)

    def _train(self) -> None:
        self._turn.acquire()
        noting = replace(self._trainer, update=self._update)
        with contextlib.suppress(EnoughError), self._record:
            run(noting, self._record, Interruption(), self._after_step)

    def _update(self, *arguments: Any) -> tuple[TrainState, Any]:
        self._latest, sums = self._trainer.update(*arguments)
        return self._latest, sums

    def _after_step(self) -> None:
        self._done += 1
        if self._done == self._wanted:
            self._turned.release()
            self._turn.acquire()
            if self._over:
                raise EnoughError

    def _advance(self, steps: int) -> None:
        self._wanted += steps
        self._turn.release()
        self._turned.acquire()

    def loop(self) -> Any:
        """Lets the run make some steps, and what was saved in them reach the disk."""
        self._advance(self._steps)
        self._record.wait()
        return self._latest

    def bare(self) -> Any:
        """Makes as many steps of the compiled update and nothing else."""
        before = last = None
        for batch in self._batches:
            # As in the loop: devices that share the cores may starve each other of too many steps.
            jax.block_until_ready(before)
            self._state, sums = self._trainer.step(self._state, batch)
            before, last = last, sums
        return self._state

    def close(self) -> None:
        """Ends the run."""
        self._over = True
        self._turn.release()
        self._thread.join()


@contextlib.contextmanager
def on_a_terminal() -> Any:
    """Shows what is printed to nobody, as if on a terminal: with the progress bar alive."""
    os.environ["FORCE_COLOR"] = "1"
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
    del os.environ["FORCE_COLOR"]


def counting(function: Callable[[], Any], used: list[float]) -> Callable[[], Any]:
    """Returns the function, which notes the CPU seconds that this process takes for a call."""

    def call() -> None:
        begun = time.process_time()
        jax.block_until_ready(function())
        used.append(time.process_time() - begun)

    return call


def by_turn(parts: list[float]) -> list[float]:
    """Returns the sums over the parts of each turn."""
    return [sum(parts[i : i + PARTS]) for i in range(0, len(parts), PARTS)]


def measure(case: Case, repeats: int) -> dict[str, float]:
    """Returns seconds a step of both, and how they compare, turn by turn."""
    with tempfile.TemporaryDirectory() as workdir, on_a_terminal():
        both = Both(config_of(case), workdir, case.steps)
        try:
            used: dict[str, list[float]] = {"loop": [], "bare": []}
            ways = {
                "loop": counting(both.loop, used["loop"]),
                "bare": counting(both.bare, used["bare"]),
            }
            seconds = turns(ways, PARTS * repeats)
        finally:
            both.close()
    loop, bare = (by_turn(seconds[way]) for way in ("loop", "bare"))
    cpu_loop, cpu_bare = (by_turn(used[way][1:]) for way in ("loop", "bare"))
    pairs = list(zip(loop, bare, strict=True))
    ratios, added = [a / b for a, b in pairs], [a - b for a, b in pairs]
    return record.rounded(
        {
            "steps": case.steps,
            "loop_milliseconds_a_step": 1e3 * statistics.median(loop) / case.steps,
            "bare_milliseconds_a_step": 1e3 * statistics.median(bare) / case.steps,
            "added_microseconds_a_step": 1e6 * statistics.median(added) / case.steps,
        }
    ) | {
        "loop_over_bare": round(turn_ratio(loop, bare), 4),
        # Neighbours on the machine take wall time, and hardly any of this process's CPU time.
        "cpu_loop_over_bare": round(turn_ratio(cpu_loop, cpu_bare), 4),
        "smallest_turn": round(min(ratios), 4),
        "largest_turn": round(max(ratios), 4),
    }


def main(arguments: list[str]) -> None:
    """Measures the cases, prints a table and writes the JSON file."""
    parser = Parser(prog="benchmarks/loop.py", description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7, help="turns of each")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    names = [name for name in CASES if flags.only in name]
    if not names:
        raise UserError(f"--only: use one of {', '.join(CASES)}")
    use_compilation_cache()
    count_cores_as_devices()
    made = record.conditions(repeats=flags.repeats, limit=LIMIT)
    result: dict[str, Any] = {"conditions": made, "runs": {}}
    print(f"{'run':14} {'loop ms':>9} {'bare ms':>9} {'ratio':>7} {'turns':>15} {'added us':>9}")
    for name in names:
        row = result["runs"][name] = measure(CASES[name], flags.repeats)
        between = f"{row['smallest_turn']:.3f} to {row['largest_turn']:.3f}"
        print(
            f"{name:14} {row['loop_milliseconds_a_step']:9.3f} "
            f"{row['bare_milliseconds_a_step']:9.3f} {row['loop_over_bare']:7.3f} {between:>15} "
            f"{row['added_microseconds_a_step']:9.0f}",
            flush=True,
        )
    record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
