"""Two seeds of a network on the CPU: one after another, in two processes, and in one program.

    python benchmarks/replicas.py [--batch=128] [--repeats=7] [--only=plain] [--out=FILE]

Each turn makes one training step of both seeds, 32x32x3 images, float32. One after another: each
step has all cores. Processes: one thread each. Replicas: one program over two CPU devices. On one
device with all cores, in turns by `lax.map` and at once by `vmap`, is what several seeds of one
accelerator could do; `cnn/training/replicas.py` takes turns.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import record
from benchmarks.peer import Peer, serve
from cnn.ablation.execution.local_pool import threads
from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError
from cnn.config.seeds import Seeds
from cnn.cost.timing import seconds_in_turns
from cnn.data import open_dataset
from cnn.training.assembly import make_evaluator, make_trainer, make_training_feed
from cnn.training.mesh import replicated
from cnn.training.plan import make_training_plan
from cnn.training.replicas import ReplicaGroup
from cnn.training.steps import make_train_step
from configs import base

NETWORKS = ("plain", "resnet20")
SEEDS = 2
STEPS = 10_000  # more than are ever made


def config_of(network: str, batch: int, seed: int) -> ConfigDict:
    """Returns the config of one seed."""
    config = base.get_config()
    config.seed = seed
    config.data.source = "synthetic"
    config.model.name = network
    config.train.batch_size = batch
    config.train.duration = f"{STEPS} steps"
    return config


def single_step(config: ConfigDict) -> Callable[[], Any]:
    """Returns a function that makes one step of a run on one device."""
    dataset = open_dataset(config.data)
    evaluator = make_evaluator(config, dataset, devices=1)
    trainer = make_trainer(evaluator, make_training_plan(config, len(dataset.train), 1))
    state, batches = trainer.new_state(), trainer.feed.batches(0, STEPS)

    def step() -> Any:
        nonlocal state
        state, sums = trainer.step(state, next(batches))
        return sums

    return step


def group_step(configs: list[ConfigDict]) -> Callable[[], Any]:
    """Returns a function that makes one step of all replicas."""
    dataset = open_dataset(configs[0].data)
    evaluators = [make_evaluator(config, dataset, devices=1) for config in configs]
    group = ReplicaGroup(evaluators, make_training_plan(configs[0], len(dataset.train), 1))
    state, rows = group.stack({}), list(range(len(configs)))
    feeds = [feed.values(0, STEPS) for feed in group.feeds]

    def step() -> Any:
        nonlocal state
        state, sums = group.update(state, rows, dict(enumerate(map(next, feeds))))
        return sums

    return step


def one_device_step(
    configs: list[ConfigDict], spread: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[[], Any]:
    """Returns a function that makes one step of all seeds in one program on one device.

    Args:
      configs: of the seeds.
      spread: makes (states, seeds, arrays, batches) -> ... of the step of one.
    """
    dataset = open_dataset(configs[0].data)
    evaluators = [make_evaluator(config, dataset, devices=1) for config in configs]
    first, whole = evaluators[0], replicated(evaluators[0].mesh)
    plan = make_training_plan(configs[0], len(dataset.train), 1)
    feed = make_training_feed(first, plan, whole, whole)
    seeds = [Seeds.of(config) for config in configs]
    feeds = [feed.reseeded(own.order, own.augment).values(0, STEPS) for own in seeds]
    trainers = [make_trainer(evaluator, plan) for evaluator in evaluators]
    step = make_train_step(trainers[0].recipe)
    update = jax.jit(spread(step), donate_argnums=0, out_shardings=whole)
    states = [trainer.new_state() for trainer in trainers]
    # Placed as the update leaves it, or the second step would compile again.
    state = jax.device_put(_stacked(states), whole)
    numbers = Seeds(*(np.array(values, np.uint32) for values in zip(*seeds, strict=True)))
    numbers = jax.device_put(numbers, whole)

    def make() -> Any:
        nonlocal state
        batch = _stacked([next(values) for values in feeds])
        state, sums = update(state, numbers, feed.arrays, jax.device_put(batch, whole))
        return sums

    return make


def _stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *parts: np.stack(parts), *trees)


def in_turns(step: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the step of several seeds, one after the other in a loop of the program."""

    def turns(states: Any, seeds: Any, arrays: Any, batches: Any) -> Any:
        own = states, seeds, batches
        return jax.lax.map(lambda one: step(one[0], one[1], arrays, one[2]), own)

    return turns


def at_once(step: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the step of several seeds, every operation over all of them."""
    return jax.vmap(step, in_axes=(0, 0, None, 0))


class Workers:
    """Processes with one thread each, that step at the same time."""

    def __init__(self, network: str, batch: int):
        command = [sys.executable, __file__, f"--only={network}", f"--batch={batch}"]
        self._peers = [Peer([*command, f"--seed={i}"], threads(SEEDS)) for i in range(SEEDS)]

    def step(self) -> None:
        """Makes one step of each."""
        for peer in self._peers:
            peer.begin()
        for peer in self._peers:
            peer.finish()

    def stop(self) -> None:
        """Ends them."""
        for peer in self._peers:
            peer.stop()


def measure(network: str, batch: int, repeats: int) -> dict[str, float]:
    """Returns images a second of the ways, and how they compare with one after another."""
    configs = [config_of(network, batch, seed) for seed in range(SEEDS)]
    singles = [single_step(config) for config in configs]

    def one_after_another() -> None:
        for step in singles:
            jax.block_until_ready(step())

    workers = Workers(network, batch)
    ways = {
        "one_after_another": one_after_another,
        "processes": workers.step,
        "replicas": group_step(configs),
        "lax_map": one_device_step(configs, in_turns),
        "vmap": one_device_step(configs, at_once),
    }
    try:
        seconds = seconds_in_turns(ways, repeats)
    finally:
        workers.stop()
    speeds = {f"{way}_images_per_second": SEEDS * batch / s for way, s in seconds.items()}
    alone = seconds["one_after_another"]
    gains = {f"{way}_gain": alone / seconds[way] for way in ways if way != "one_after_another"}
    return record.rounded(speeds | gains)


def main(arguments: list[str]) -> None:
    """Times the networks, prints a table and writes the JSON file."""
    parser = Parser(prog="benchmarks/replicas.py", description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=128, help="images a step and seed")
    parser.add_argument("--repeats", type=int, default=7, help="timed steps of each way")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--seed", type=int, help="be the worker process of this seed")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    names = [name for name in NETWORKS if flags.only in name]
    if not names or flags.batch < 1:
        raise UserError(f"--only, --batch: use one of {', '.join(NETWORKS)}, and 1 image or more")
    jax.config.update("jax_platforms", "cpu")
    if flags.seed is not None:
        step = single_step(config_of(names[0], flags.batch, flags.seed))
        serve(lambda: jax.block_until_ready(step()))
        return
    jax.config.update("jax_num_cpu_devices", SEEDS)
    made = record.conditions(batch=flags.batch, repeats=flags.repeats, seeds=SEEDS)
    result = {"conditions": made, "networks": {}}
    titles = ("processes", "replicas", "lax_map", "vmap")
    print(f"{'network':12} {''.join(f'{t:>11}' for t in titles)}   times one after another")
    for name in names:
        row = result["networks"][name] = measure(name, flags.batch, flags.repeats)
        gains = "".join(f"{row[f'{title}_gain']:11.2f}" for title in titles)
        print(f"{name:12} {gains}", flush=True)
    record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
