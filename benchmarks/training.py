"""A full training step of our networks beside the same in stock flax and in PyTorch, in turns.

    python benchmarks/training.py [--batch=128] [--repeats=7] [--only=resnet20] [--out=FILE]
        [--torch-python=PYTHON-WITH-TORCH]

32x32x3 images, float32, SGD with Nesterov momentum and weight decay. All sides have the same number
of parameters, or the benchmark refuses. Ours shares the batch over the cores as `train.py` does.
"""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from benchmarks import record
from benchmarks.peer import Peer, torch_version
from cnn import models
from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError
from cnn.config.seeds import Seeds
from cnn.cost.timing import seconds_in_turns
from cnn.layers import Head, Style
from cnn.models.mobilenet import MobileNet, Stage
from cnn.training.mesh import batch_sharding, count_cores_as_devices, make_mesh, replicated
from cnn.training.optimizer import decay_mask, make_optimizer
from cnn.training.steps import Recipe, make_train_step
from configs import base

CLASSES = 10
RATE, DECAY = 0.1, 5e-4
WIDTHS, STRIDES = (64, 128, 128, 256, 256), (1, 2, 1, 2, 1)


class StockPlain(nn.Module):
    """The plain block network."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns logits."""
        for features in (32, 64, 128):
            x = nn.relu(_norm()(_conv(features)(x)))
            x = nn.max_pool(x, (2, 2), (2, 2))
        return nn.Dense(CLASSES)(x.mean((1, 2)))


class StockResNet20(nn.Module):
    """ResNet-20 with option A."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns logits."""
        x = nn.relu(_norm()(_conv(16)(x)))
        for stage, features in enumerate((16, 32, 64)):
            for block in range(3):
                strides = 2 if block == 0 < stage else 1
                y = nn.relu(_norm()(_conv(features, strides=(strides, strides))(x)))
                y = _norm()(_conv(features)(y))
                wider = features - x.shape[-1]
                x = jnp.pad(x[:, ::strides, ::strides], ((0, 0), (0, 0), (0, 0), (0, wider)))
                x = nn.relu(x + y)
        return nn.Dense(CLASSES)(x.mean((1, 2)))


class StockSeparable(nn.Module):
    """Depthwise separable blocks, 32-64-128-128-256-256."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns logits."""
        x = nn.relu(_norm()(_conv(32)(x)))
        for features, strides in zip(WIDTHS, STRIDES, strict=True):
            channels = x.shape[-1]
            depthwise = _conv(channels, strides=(strides, strides), feature_group_count=channels)
            x = nn.relu(_norm()(depthwise(x)))
            x = nn.relu(_norm()(_conv(features, (1, 1))(x)))
        return nn.Dense(CLASSES)(x.mean((1, 2)))


def _conv(features: int, window: tuple[int, int] = (3, 3), **options: Any) -> nn.Conv:
    return nn.Conv(features, window, use_bias=False, **options)


def _norm() -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=False, momentum=0.9)


def _separable() -> nn.Module:
    style = Style()
    return MobileNet(
        stem_features=32,
        stem_strides=1,
        stages=tuple(Stage(*row, (None,)) for row in zip(WIDTHS, STRIDES, strict=True)),
        last=0,
        downsample="strided_conv",
        stochastic_depth=0.0,
        head=Head("avg", CLASSES, style, name="head"),
        style=style,
    )


def _named(name: str) -> nn.Module:
    model = base.get_config().model
    model.name = name
    return models.build(model, CLASSES)


@dataclass(frozen=True)
class Pair:
    """A network of ours and the stock one it is held against.

    Attributes:
      ours: builds ours, called as (x, train).
      stock: called as (x).
      goal: the least ratio of their speeds on CPU.
    """

    ours: Callable[[], nn.Module]
    stock: nn.Module
    goal: float


PAIRS = {
    "plain": Pair(lambda: _named("plain"), StockPlain(), 1.8),
    "resnet20": Pair(lambda: _named("resnet20"), StockResNet20(), 1.2),
    "separable": Pair(_separable, StockSeparable(), 6.0),
}


def our_step(model: nn.Module, images: Array, labels: Array) -> tuple[Callable[[], Any], int]:
    """Returns a function that makes one update, and the number of parameters."""
    rate = optax.constant_schedule(RATE)
    recipe = Recipe(
        model=model,
        tx=make_optimizer(base.get_config().optimizer, 0.0, rate),
        load=lambda arrays, batch: batch,
        augment=lambda key, image, label: (image, jax.nn.one_hot(label, CLASSES)),
    )
    mesh = make_mesh(0, len(images))
    whole = replicated(mesh)
    state = jax.device_put(recipe.init(0, images.shape[1:]), whole)
    seeds = jax.device_put(Seeds.same(jnp.uint32(0)), whole)
    batch = jax.device_put({"input": images, "label": labels}, batch_sharding(mesh))
    update = jax.jit(make_train_step(recipe), donate_argnums=0, out_shardings=whole)
    return _repeatedly(lambda state: update(state, seeds, {}, batch), state), _count(state.params)


def stock_step(model: nn.Module, images: Array, labels: Array) -> tuple[Callable[[], Any], int]:
    """Returns a function that makes one update, and the number of parameters."""
    tx = optax.chain(
        optax.add_decayed_weights(DECAY, decay_mask), optax.sgd(RATE, 0.9, nesterov=True)
    )

    def loss(params: Any, stats: Any, images: Array, labels: Array) -> tuple[Array, Any]:
        logits, new = model.apply(
            {"params": params, "batch_stats": stats}, images, mutable=["batch_stats"]
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), new["batch_stats"]

    def update(state: tuple, images: Array, labels: Array) -> tuple[tuple, Array]:
        params, stats, opt = state
        gradient = jax.value_and_grad(loss, has_aux=True)
        (value, stats), grads = gradient(params, stats, images, labels)
        updates, opt = tx.update(grads, opt, params)
        return (optax.apply_updates(params, updates), stats, opt), value

    variables = jax.jit(model.init)(jax.random.key(0), images[:1])
    state = (variables["params"], variables["batch_stats"], tx.init(variables["params"]))
    jitted = jax.jit(update, donate_argnums=0)
    run = _repeatedly(lambda state: jitted(state, images, labels), state)
    return run, _count(variables["params"])


def _repeatedly(update: Callable[[Any], tuple[Any, Any]], state: Any) -> Callable[[], Any]:
    def run() -> Any:
        nonlocal state
        state, value = update(state)
        return state, value

    return run


def _count(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def examples(batch: int) -> tuple[Array, Array]:
    """Returns images float32 `[B, 32, 32, 3]` and labels int32 `[B]`."""
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(batch, 32, 32, 3)), jnp.float32)
    return images, jnp.asarray(rng.integers(0, CLASSES, batch), jnp.int32)


def chosen(only: str, batch: int) -> list[str]:
    """Returns the networks whose name contains a text.

    Raises:
      UserError: there is none, or the batch is empty.
    """
    names = [name for name in PAIRS if only in name]
    if not names or batch < 1:
        raise UserError(f"--only, --batch: use one of {', '.join(PAIRS)}, and 1 image or more")
    return names


def measure(name: str, batch: int, repeats: int, torch_python: str) -> dict[str, Any]:
    """Returns images a second of all sides, their ratios to ours and the goal.

    Raises:
      UserError: they are not the same network.
    """
    pair = PAIRS[name]
    images, labels = examples(batch)
    sides, sizes = {}, {}
    sides["ours"], sizes["ours"] = our_step(pair.ours(), images, labels)
    sides["stock"], sizes["stock"] = stock_step(pair.stock, images, labels)
    with ExitStack() as stack:
        if torch_python:
            script = Path(__file__).with_name("torch_training.py")
            peer = Peer([torch_python, str(script), f"--network={name}", f"--batch={batch}"])
            stack.callback(peer.stop)
            sides["torch"], sizes["torch"] = peer.step, json.loads(peer.says())["parameters"]
        if len(set(sizes.values())) > 1:
            raise UserError(
                f"benchmarks/training.py: {name} has {sizes} parameters, so these are not the same "
                "network; change the one that differs"
            )
        seconds = seconds_in_turns(sides, repeats)
    speeds = {f"{side}_images_per_second": batch / taken for side, taken in seconds.items()}
    peers = [side for side in seconds if side != "ours"]
    ratios = {f"{side}_over_ours": seconds[side] / seconds["ours"] for side in peers}
    metrics = {"parameters": sizes["ours"], **speeds, **ratios, "goal": pair.goal}
    return record.rounded(metrics)


def main(arguments: list[str]) -> None:
    """Times the networks, prints a table and writes the JSON file."""
    parser = Parser(prog="benchmarks/training.py", description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--repeats", type=int, default=7, help="timed steps of each network")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--torch-python", default="", help="a Python that has torch: the peer")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    names = chosen(flags.only, flags.batch)
    torch = torch_version(flags.torch_python)
    count_cores_as_devices()
    made = record.conditions(batch=flags.batch, repeats=flags.repeats)
    made["versions"] |= torch
    result = {"conditions": made, "networks": {}}
    for name in names:
        row = measure(name, flags.batch, flags.repeats, flags.torch_python)
        result["networks"][name] = row
        print(f"{name}: {', '.join(f'{k} {v}' for k, v in row.items())}", flush=True)
    record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
