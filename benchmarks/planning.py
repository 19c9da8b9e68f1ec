"""The training step of ResNet-50 compiled for TPU slices, beside the same network in stock flax.

    python benchmarks/planning.py [--topology=v5e:1x1,v5e:16x16] [--stock=v5e:2x2] [--out=FILE]

Nothing runs, so one compilation says all there is: what a chip holds, moves and communicates. Both
sides are the same but for the network: data, loss, optimizer and shardings are ours. Ours is
compiled once more with the batch cut into micro-batches, whose activations find more room on the
chip; the groups of batch norm are then as small.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from benchmarks import record
from cnn.config.entry import Parser, run_command
from cnn.config.load import load
from cnn.cost.count import macs
from cnn.cost.plan import plan_cells
from cnn.cost.program import plan_slice, with_batch_size
from cnn.cost.stand_in import open_or_stand_in
from cnn.cost.tpu_slices import open_slice
from cnn.training.assembly import Evaluator, make_evaluator

CONFIG = "configs/imagenet_resnet50.py"
SLICES = "v5e:1x1,v5e:2x2,v5e:4x4,v5e:16x16"


class StockResNet50(nn.Module):
    """ResNet-50 as users of flax write it, in bfloat16."""

    depths: tuple[int, ...] = (3, 4, 6, 3)
    features: int = 64
    num_classes: int = 1000

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns logits."""
        dtype = jnp.bfloat16
        conv = partial(nn.Conv, use_bias=False, dtype=dtype)
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, dtype=dtype)
        x = conv(self.features, (7, 7), (2, 2), padding=((3, 3), (3, 3)))(x)
        x = nn.max_pool(nn.relu(norm()(x)), (3, 3), (2, 2), "SAME")
        for stage, blocks in enumerate(self.depths):
            features = self.features * 2**stage
            for block in range(blocks):
                strides = (2, 2) if block == 0 < stage else (1, 1)
                y = nn.relu(norm()(conv(features, (1, 1))(x)))
                y = nn.relu(norm()(conv(features, (3, 3), strides)(y)))
                y = norm(scale_init=nn.initializers.zeros)(conv(4 * features, (1, 1))(y))
                if block == 0:
                    x = norm()(conv(4 * features, (1, 1), strides)(x))
                x = nn.relu(x + y)
        return nn.Dense(self.num_classes)(x.mean((1, 2)).astype(jnp.float32))


def evaluators(per_group: int, pieces: int = 1) -> tuple[Callable[[int], Evaluator], int]:
    """Returns (examples of a batch -> our network on this host, its MACs).

    Args:
      per_group: examples of a group of batch norm.
      pieces: micro-batches of a step.
    """
    fields = (f"model.ghost_batch={per_group}", f"train.accumulation={pieces}")
    config = load(CONFIG, fields).config
    config, dataset, _ = open_or_stand_in(config)

    def make(examples: int) -> Evaluator:
        return make_evaluator(with_batch_size(config, examples), dataset, devices=1)

    return make, macs(config.model, dataset.input_shape, dataset.num_classes)


def main(arguments: list[str]) -> None:
    """Compiles, prints a line for each slice and writes the JSON file."""
    parser = Parser(prog="benchmarks/planning.py", description=__doc__.split("\n")[0])
    parser.add_argument("--topology", default=SLICES, help="slices for ours")
    parser.add_argument("--stock", default="v5e:2x2", help="slices for stock flax")
    parser.add_argument("--cut", default="v5e:1x1,v5e:2x2", help="slices for micro-batches")
    parser.add_argument("--pieces", type=int, default=4, help="micro-batches of a step")
    parser.add_argument("--per-chip", type=int, default=256, help="images of a chip")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    jax.config.update("jax_platforms", "cpu")
    make, per_image = evaluators(flags.per_chip)
    make_cut, _ = evaluators(flags.per_chip // flags.pieces, flags.pieces)
    asked = {"ours": flags.topology, "cut": flags.cut, "stock": flags.stock}
    sides = {side: [name for name in text.split(",") if name] for side, text in asked.items()}
    places = {name: open_slice(name) for names in sides.values() for name in names}
    made = record.conditions(
        config=CONFIG, dtype="bfloat16", libtpu=version("libtpu"), pieces=flags.pieces
    )
    result: dict[str, Any] = {"conditions": made} | {side: {} for side in sides}
    builds = {
        "ours": make,
        "cut": make_cut,
        "stock": lambda examples: replace(make(examples), model=StockResNet50()),
    }
    for side, names in sides.items():
        for name in names:
            row = plan_slice(builds[side], places[name], per_image, flags.per_chip)
            result[side][name] = row
            print(side, *plan_cells(row), sep="  ", flush=True)
            record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
