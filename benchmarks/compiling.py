"""How long XLA takes to compile the training step of every network, at the size it was made for.

    python benchmarks/compiling.py [--only=resnet] [--all] [--unrolled] [--out=FILE]

Nothing is trained and no array is made. Without --all the deepest networks of each family, which
take longest. Networks of many equal blocks with model.scan, and with --unrolled without it too. The
compilation cache is off. CPU seconds are those of all threads: what idle cores take at most.
"""

import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from benchmarks import record
from cnn import models
from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.mesh import batch_sharding, count_cores_as_devices
from cnn.training.plan import make_training_plan
from configs import base

DEEPEST = (
    "plain",
    "resnet20",
    "resnet110",
    "preact_resnet164",
    "wrn28_10",
    "wrn40_4",
    "airbench",
    "vgg19_bn",
    "all_cnn_c",
    "resnet50",
    "resnet152d",
    "se_resnet152",
    "convnext_s",
    "mobilenet_v1",
    "mobilenet_v2",
)


def config_of(network: str, batch: int, scan: bool) -> ConfigDict:
    """Returns a config that trains a network on images of its published size."""
    config = base.get_config()
    shape = models.MODELS.look_up(network, "--only").input_shape
    classes = 1000 if shape[0] >= 224 else 10
    config.model.name = network
    config.model.scan = scan
    config.train.batch_size = batch
    config.data.source = "synthetic"
    config.data.synthetic_shape = shape
    config.data.synthetic_classes = classes
    config.data.synthetic_examples = (batch, 1)
    config.data.mean = config.data.std = (0.5,) * shape[-1]
    config.data.placement = "stream"
    config.augment.flip = True
    return config


def lower_step(config: ConfigDict) -> jax.stages.Lowered:
    """Returns the program of one update as `train.py` makes it, before XLA compiles it."""
    dataset = open_dataset(config.data)
    evaluator = make_evaluator(config, dataset)
    trainer = make_trainer(
        evaluator, make_training_plan(config, len(dataset.train), evaluator.mesh.size)
    )
    size, sharding = config.train.batch_size, batch_sharding(evaluator.mesh)
    batch = {
        "input": jax.ShapeDtypeStruct((size, *dataset.input_shape), jnp.uint8, sharding=sharding),
        "label": jax.ShapeDtypeStruct((size,), jnp.int32, sharding=sharding),
    }
    return trainer.update.lower(trainer.abstract_state(), trainer.seeds, (), batch)


def measure(network: str, batch: int, scan: bool) -> dict[str, float]:
    """Returns seconds of tracing and of compiling, and CPU seconds of compiling."""
    begun = time.perf_counter()
    lowered = lower_step(config_of(network, batch, scan))
    traced, used = time.perf_counter(), _cpu_seconds()
    lowered.compile()
    return record.rounded(
        {
            "trace_seconds": traced - begun,
            "compile_seconds": time.perf_counter() - traced,
            "compile_cpu_seconds": _cpu_seconds() - used,
        }
    )


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def chosen(only: str, everything: bool) -> list[str]:
    """Returns the networks to be compiled.

    Raises:
      UserError: there is none of such a name.
    """
    parts = only.split(",")
    named = [n for n in models.MODELS if any(part in n for part in parts)]
    names = [n for n in named if everything or only or n in DEEPEST]
    if not names:
        raise UserError(
            f"--only: no network is named like '{only}'; python -m cnn.models lists all"
        )
    return names


def forms(network: str, unrolled: bool) -> list[str]:
    """Returns the forms that a network is compiled in."""
    if "scan" not in models.MODELS[network].reads:
        return ["unrolled"]
    return ["unrolled", "scan"] if unrolled else ["scan"]


def main(arguments: list[str]) -> None:
    """Compiles the networks, prints a table and writes the JSON file."""
    parser = Parser(prog="benchmarks/compiling.py", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="parts of names, with commas between")
    parser.add_argument("--all", action="store_true", help="not just the deepest of each family")
    parser.add_argument("--unrolled", action="store_true", help="block by block too")
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    names = chosen(flags.only, flags.all)
    jax.config.update("jax_enable_compilation_cache", False)
    count_cores_as_devices()
    result: dict[str, Any] = {"conditions": record.conditions(batch=flags.batch), "networks": {}}
    print(f"{'network':18} {'form':9} {'trace s':>8} {'compile s':>10} {'CPU s':>8}")
    for name in names:
        rows = result["networks"][name] = {}
        for form in forms(name, flags.unrolled):
            row = rows[form] = measure(name, flags.batch, scan=form == "scan")
            trace, seconds, used = row.values()
            print(f"{name:18} {form:9} {trace:8.1f} {seconds:10.1f} {used:8.1f}", flush=True)
    record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
