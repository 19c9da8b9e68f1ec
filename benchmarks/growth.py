"""How costs grow: with the batch, devices, the data set, the arms of a study and the parameters.

    python benchmarks/growth.py [--repeats=3] [--only=batch] [--out=FILE]

Every cost is timed at two sizes or more, in turns. The exponent says how it grows from the first
size to the last: 1 is in proportion, 0 not at all. Devices are fake ones, which share the cores of
one machine: they show what it costs to share a batch, and no speed-up.
"""

import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import record
from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.analysis.study_results import Arm, SeedRun, Study
from cnn.ablation.execution.due import is_open
from cnn.ablation.planning.runs import arms_of
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.ablation.report import write_report
from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError
from cnn.cost.timing import seconds_in_turns
from cnn.data import open_dataset
from cnn.training.assembly import Trainer, make_evaluator, make_trainer
from cnn.training.checkpoint import Checkpoints
from cnn.training.plan import make_training_plan
from configs import base

Sizes = dict[int, Callable[[], Any]]  # size -> what is timed


def config_of(batch: int = 128, examples: int = 2048, features: tuple = (32, 64)) -> ConfigDict:
    """Returns a config of the plain network on synthetic images."""
    config = base.get_config()
    config.data.source = "synthetic"
    config.data.synthetic_examples = (examples, 1)
    config.data.mean = config.data.std = (0.5,) * 3
    config.model.features = features
    config.train.batch_size = batch
    return config


def trainer_of(config: ConfigDict, devices: int = 1) -> Trainer:
    """Returns what trains the network of a config."""
    dataset = open_dataset(config.data)
    evaluator = make_evaluator(config, dataset, devices=devices)
    return make_trainer(evaluator, make_training_plan(config, len(dataset.train), devices))


def step_of(config: ConfigDict, devices: int = 1) -> Callable[[], Any]:
    """Returns a function that makes one training step."""
    trainer = trainer_of(config, devices)
    state, batches = trainer.new_state(), trainer.feed.batches(0, 10_000)

    def step() -> Any:
        nonlocal state
        state, sums = trainer.step(state, next(batches))
        return state, sums

    return step


def batch(folder: Path) -> Sizes:
    """A training step, by the images of its batch."""
    return {size: step_of(config_of(size)) for size in (32, 128, 512, 1024)}


def devices(folder: Path) -> Sizes:
    """A training step of 256 images, by the fake devices that share them."""
    return {count: step_of(config_of(256), count) for count in (1, 2, 4, 8)}


def examples_loaded(folder: Path) -> Sizes:
    """Putting a data set on the device, by its examples."""

    def loading(count: int) -> Callable[[], Any]:
        config = config_of(16, count)
        config.data.synthetic_shape = (8, 8, 3)
        evaluator = make_evaluator(config, open_dataset(config.data), devices=1)
        plan = make_training_plan(config, count, 1)
        return lambda: make_trainer(evaluator, plan).feed.arrays

    return {count: loading(count) for count in (2_000, 20_000)}


def examples_stepped(folder: Path) -> Sizes:
    """100 batches of a resident data set, by its examples."""

    def stepping(count: int) -> Callable[[], Any]:
        config = config_of(16, count)
        config.data.synthetic_shape = (8, 8, 3)
        evaluator = make_evaluator(config, open_dataset(config.data), devices=1)
        feed = make_trainer(evaluator, make_training_plan(config, count, 1)).feed
        # The order of an epoch is made once, at its start.
        return lambda: list(feed.batches(1, 101))

    return {count: stepping(count) for count in (2_000, 20_000)}


def arms_reported(folder: Path) -> Sizes:
    """The report of a study of five seeds and 1,000 test examples, by its arms."""

    def reporting(count: int) -> Callable[[], Any]:
        study, place = simulated(count), folder / f"report-{count}"
        place.mkdir()
        return lambda: write_report(analyze(study), place)

    return {count: reporting(count) for count in (6, 60)}


def arms_planned(folder: Path) -> Sizes:
    """The runs of a study and which of them are open, by its arms."""

    def planning(count: int) -> Callable[[], Any]:
        arms = {f"arm {i}": (f"optimizer.learning_rate={i + 1}",) for i in range(count)}
        plan = StudyPlan(
            name="study",
            config="configs/base.py",
            arms=arms,
            baseline="arm 0",
            seeds=range(5),
            margin=1.0,
        )

        def scan() -> list[bool]:
            runs = arms_of(plan, folder / "study")
            return [is_open(run) for each in runs.values() for run in each]

        return scan

    return {count: planning(count) for count in (10, 100)}


def parameters_saved(folder: Path) -> Sizes:
    """A checkpoint, written and read, by the parameters."""
    return {count: saving(state, folder) for count, state in states((96, 304))}


def parameters_made(folder: Path) -> Sizes:
    """The state before the first step, compilation included, by the parameters."""

    def making(width: int) -> tuple[int, Callable[[], Any]]:
        config = config_of(features=(width, 2 * width, 2 * width))
        trainer = trainer_of(config)
        return count_of(trainer.abstract_state()), trainer.new_state

    return dict(making(width) for width in (96, 304))


def states(widths: tuple[int, ...]) -> list[tuple[int, Any]]:
    """Returns (parameters, state) of the plain network by its width."""
    found = []
    for width in widths:
        config = config_of(features=(width, 2 * width, 2 * width))
        state = trainer_of(config).new_state()
        found.append((count_of(state), state))
    return found


def count_of(state: Any) -> int:
    """Returns the number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))


def saving(state: Any, folder: Path) -> Callable[[], Any]:
    """Returns a function that writes a state and reads it back."""
    checkpoints = Checkpoints(folder / f"checkpoints-{count_of(state)}")
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )
    step = 0

    def save() -> Any:
        nonlocal step
        step += 1
        checkpoints.save(step, state, {"step": step}, score=None)
        checkpoints.wait()
        return checkpoints.restore(step, like)

    return save


def simulated(arms: int, seeds: int = 5, examples: int = 1000) -> Study:
    """Returns a finished study of arms that hardly differ."""
    rng = np.random.default_rng(0)

    def run(arm: int, seed: int) -> SeedRun:
        correct = rng.random(examples) < 0.9 + 0.0005 * arm
        curve = [(step, float(v)) for step, v in enumerate(rng.random(30), 1)]
        history = {"validation/accuracy": curve, "train/loss": curve}
        return SeedRun(seed, f"runs/{arm}/{seed}", {"accuracy": correct.mean()}, history, correct)

    made = tuple(
        Arm(name=f"arm {a}", seeds=tuple(run(a, s) for s in range(seeds))) for a in range(arms)
    )
    return Study("growth", "", made, baseline="arm 0", margin=0.005)


COSTS: dict[str, Callable[[Path], Sizes]] = {
    "step, by batch": batch,
    "step, by fake devices": devices,
    "loading, by examples": examples_loaded,
    "100 batches, by examples": examples_stepped,
    "report, by arms": arms_reported,
    "plan, by arms": arms_planned,
    "checkpoint, by parameters": parameters_saved,
    "new state, by parameters": parameters_made,
}


def measure(cost: Callable[[Path], Sizes], folder: Path, repeats: int) -> dict[str, Any]:
    """Returns the sizes, their seconds, those over the first one's, and the exponent."""
    seconds = seconds_in_turns({str(size): call for size, call in cost(folder).items()}, repeats)
    sizes, taken = [int(size) for size in seconds], list(seconds.values())
    return {
        "sizes": sizes,
        "seconds": [float(f"{s:.3g}") for s in taken],
        "times_the_first": [float(f"{s / taken[0]:.3g}") for s in taken],
        "exponent": round(math.log(taken[-1] / taken[0]) / math.log(sizes[-1] / sizes[0]), 2),
    }


def main(arguments: list[str]) -> None:
    """Times the costs, prints a table and writes the JSON file."""
    parser = Parser(prog="benchmarks/growth.py", description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="timed calls at each size")
    parser.add_argument("--only", default="", help="costs whose name contains this")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    names = [name for name in COSTS if flags.only in name]
    if not names:
        raise UserError(f"--only: use a part of one of: {'; '.join(COSTS)}")
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 8)
    result: dict[str, Any] = {"conditions": record.conditions(repeats=flags.repeats), "costs": {}}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            row = result["costs"][name] = measure(COSTS[name], Path(folder), flags.repeats)
        print(f"{name:26} {row['exponent']:5.2f}  {row['sizes']} {row['seconds']}", flush=True)
    record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
