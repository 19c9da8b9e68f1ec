"""What one GPU gives: its ceilings, ResNet-50 beside PyTorch, several seeds, seconds to 94 %.

    python benchmarks/gpu.py --data-dir=/path/to/tensorflow_datasets [--seeds=20] [--only=resnet50]
        [--torch-python=PYTHON-WITH-TORCH] [--repeats=20] [--out=FILE] [--smoke]

Everything is bfloat16 with float32 parameters. Ceilings: a copy of 1 GiB and a product of two
8192x8192 matrices. ResNet-50: a whole training step at 224x224, batch 256, in turns with PyTorch
(channels_last, autocast, torch.compile). Seeds: one step of one to eight of them in one program.
CIFAR-10: `configs/airbench.py`, seconds of training and of the evaluation after it, without
compilation, for every downsampling operator of `DOWNSAMPLERS`. `--smoke` makes all of it so small
that a CPU runs it, on synthetic images; such timings mean nothing.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks import record
from benchmarks.peer import Peer, torch_version
from benchmarks.replicas import group_step, single_step
from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError
from cnn.config.seeds import Seeds
from cnn.cost.count import network_cost
from cnn.cost.timing import seconds_in_turns
from cnn.data import EvalFeed, open_dataset
from cnn.training.assembly import Evaluator, Trainer, make_evaluator, make_trainer
from cnn.training.evaluate import evaluate
from cnn.training.mesh import replicated
from cnn.training.plan import TrainingPlan, make_training_plan
from cnn.training.state import TrainState
from configs import airbench, base

TARGET = 0.94
DOWNSAMPLERS = ("max", "avg", "strided_conv", "max_blur", "aps")


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
      side: of the matrices that are multiplied.
      copied: bytes.
      image: side of ResNet-50's images.
      batch: of ResNet-50.
      replicas: numbers of seeds in one program.
      duration: of CIFAR-10 runs; "" as configured.
      features: of their network; () as configured.
    """

    side: int = 8192
    copied: int = 2**30
    image: int = 224
    batch: int = 256
    replicas: tuple[int, ...] = (1, 2, 4, 8)
    duration: str = ""
    features: tuple[int, ...] = ()


SMOKE = Scale(
    side=64,
    copied=2**16,
    image=32,
    batch=4,
    replicas=(1, 2),
    duration="2 steps",
    features=(4, 4, 4),
)


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line, and at which scale."""

    scale: Scale
    data_dir: str
    torch_python: str
    seeds: int
    repeats: int


def ceilings(request: Request) -> dict[str, float]:
    """Returns bytes a second of a copy (read and written), and FLOP a second of a matmul."""
    scale = request.scale
    x = jnp.ones(scale.copied // 2, jnp.bfloat16)
    matrix = jnp.ones((scale.side, scale.side), jnp.bfloat16)
    copy, multiply = jax.jit(lambda x: x + 1), jax.jit(lambda a: a @ a)
    seconds = seconds_in_turns(
        {"copy": partial(copy, x), "matmul": partial(multiply, matrix)}, request.repeats
    )
    return record.rounded(
        {
            "copy_bytes_per_second": 2 * scale.copied / seconds["copy"],
            "matmul_flops_per_second": 2 * scale.side**3 / seconds["matmul"],
        }
    )


def resnet50(request: Request) -> dict[str, float]:
    """Returns images a second of training steps, and what share of a matmul's speed they reach."""
    scale = request.scale
    config = base.get_config()
    config.data.source = "synthetic"
    config.data.synthetic_shape = (scale.image, scale.image, 3)
    config.data.synthetic_examples = (2 * scale.batch, 1)
    config.data.synthetic_classes = 1000
    config.model.name, config.model.dtype = "resnet50", "bfloat16"
    config.train.batch_size = scale.batch
    config.train.duration = "1000000 steps"
    sides: dict[str, Callable[[], Any]] = {"ours": single_step(config)}
    with ExitStack() as stack:
        if request.torch_python:
            sides["torch"] = _torch_peer(request, stack).step
        seconds = seconds_in_turns(sides, request.repeats)
    shape = tuple(config.data.synthetic_shape)
    # The backward pass multiplies twice what the forward pass does.
    flops = 3 * 2 * network_cost(config.model, shape, 1000).macs * scale.batch
    speeds = {f"{side}_images_per_second": scale.batch / taken for side, taken in seconds.items()}
    matmul = ceilings(request)["matmul_flops_per_second"]
    shares = {"share_of_matmul": flops / seconds["ours"] / matmul}
    if "torch" in seconds:
        shares["torch_over_ours"] = seconds["torch"] / seconds["ours"]
    return record.rounded(speeds | shares)


def _torch_peer(request: Request, stack: ExitStack) -> Peer:
    script = str(Path(__file__).with_name("torch_training.py"))
    size = [f"--batch={request.scale.batch}", f"--image={request.scale.image}", "--classes=1000"]
    command = [request.torch_python, script, "--network=resnet50", *size, "--accelerated"]
    peer = Peer(command)
    stack.callback(peer.stop)
    peer.says()
    return peer


def seeds(request: Request) -> dict[str, dict[str, float]]:
    """Returns images a second of one to eight seeds in one program, by network."""
    found = {}
    for network in ("resnet20", "airbench"):
        groups = {n: group_step(_same_but_seed(network, n)) for n in request.scale.replicas}
        seconds = seconds_in_turns({str(n): step for n, step in groups.items()}, request.repeats)
        batch = _same_but_seed(network, 1)[0].train.batch_size
        found[network] = record.rounded(
            {f"{n}_images_per_second": int(n) * batch / taken for n, taken in seconds.items()}
        )
    return found


def _same_but_seed(network: str, count: int) -> list[ConfigDict]:
    configs = []
    for seed in range(count):
        config = base.get_config()
        config.seed, config.data.source, config.model.name = seed, "synthetic", network
        config.model.dtype = "bfloat16"
        config.train.duration = "1000000 steps"
        configs.append(config)
    return configs


def cifar10(request: Request) -> dict[str, dict[str, Any]]:
    """Returns seconds and accuracies of `configs/airbench.py`, by downsampling operator."""
    return {name: _time_to_train(request, name) for name in DOWNSAMPLERS}


def _time_to_train(request: Request, downsample: str) -> dict[str, Any]:
    config = airbench.get_config()
    config.model.downsample = downsample
    config.data.data_dir = request.data_dir
    config.train.duration = request.scale.duration or config.train.duration
    config.model.features = request.scale.features
    if not request.data_dir:
        config.data.source = "synthetic"
        config.data.synthetic_examples = (64, 16)
        config.train.batch_size = config.evaluation.batch_size = 16
    dataset = open_dataset(config.data)
    evaluator = make_evaluator(config, dataset, devices=1)
    plan = make_training_plan(config, len(dataset.train), 1)
    trainer, feed = make_trainer(evaluator, plan), evaluator.feed(dataset.test)
    init = jax.jit(trainer.init, out_shardings=replicated(evaluator.mesh))
    run = partial(_train_once, evaluator, init, trainer, plan, feed)
    run(request.seeds)  # compiles; a seed that is not counted
    runs = [run(seed) for seed in range(request.seeds)]
    accuracies, training, evaluation = zip(*runs, strict=True)
    return {
        "seeds": request.seeds,
        "mean_accuracy": round(statistics.mean(accuracies), 5),
        "reached": sum(accuracy >= TARGET for accuracy in accuracies),
        "train_seconds": round(statistics.mean(training), 4),
        "evaluation_seconds": round(statistics.mean(evaluation), 4),
        "accuracies": [round(accuracy, 5) for accuracy in accuracies],
    }


def _train_once(
    evaluator: Evaluator,
    init: Callable[..., TrainState],
    trainer: Trainer,
    plan: TrainingPlan,
    test: EvalFeed,
    seed: int,
) -> tuple[float, float, float]:
    """Returns accuracy on test, seconds of training and of evaluation."""
    own = jax.device_put(Seeds.same(np.uint32(seed)), replicated(evaluator.mesh))
    feed = trainer.feed.reseeded(seed, seed)
    begun = time.perf_counter()
    state = init(np.uint32(seed))
    for batch in feed.batches(0, plan.total_steps):
        state, _ = trainer.update(state, own, feed.arrays, batch)
    jax.block_until_ready(state)
    trained = time.perf_counter()
    outcomes = evaluate(evaluator.step, state.variables(), test)
    accuracy = float((outcomes["rank"] == 0).mean())
    return accuracy, trained - begun, time.perf_counter() - trained


PARTS = {"ceilings": ceilings, "resnet50": resnet50, "seeds": seeds, "cifar10": cifar10}


def main(arguments: list[str]) -> None:
    """Runs the parts, prints each and writes the JSON file."""
    parser = Parser(prog="benchmarks/gpu.py", description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", default="", help="of TFDS, with cifar10 in it")
    parser.add_argument("--torch-python", default="", help="a Python that has torch: the peer")
    parser.add_argument("--seeds", type=int, default=20, help="CIFAR-10 runs of each operator")
    parser.add_argument("--repeats", type=int, default=20, help="timed steps of each side")
    parser.add_argument("--only", default="", help="parts whose name contains this")
    parser.add_argument("--smoke", action="store_true", help="tiny, for a CPU")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    names = [name for name in PARTS if flags.only in name]
    if not names or flags.seeds < 1:
        raise UserError(f"--only, --seeds: use one of {', '.join(PARTS)}, and 1 seed or more")
    if not flags.smoke and jax.default_backend() == "cpu":
        raise UserError("benchmarks/gpu.py: jax sees no accelerator; use --smoke to try it out")
    if "cifar10" in names and not (flags.smoke or flags.data_dir):
        raise UserError("--data-dir: the part cifar10 needs it; or choose another part by --only")
    versions = torch_version(flags.torch_python)
    request = Request(
        scale=SMOKE if flags.smoke else Scale(),
        data_dir=flags.data_dir,
        torch_python=flags.torch_python,
        seeds=flags.seeds,
        repeats=flags.repeats,
    )
    made = record.conditions(dtype="bfloat16", repeats=flags.repeats, smoke=flags.smoke)
    made["versions"] |= versions
    result: dict[str, Any] = {"conditions": made}
    for name in names:
        result[name] = PARTS[name](request)
        print(f"{name}: {json.dumps(result[name])}", flush=True)
    record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
