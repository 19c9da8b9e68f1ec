"""Measures whether a training run is input- or compute-bound: data only, compute only and both."""

import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
from rich.table import Table
from scipy.stats import binomtest

from cnn import data
from cnn.config.errors import UserError
from cnn.config.record import fingerprint, to_plain
from cnn.cost.timing import seconds_of, turn_ratio, turns
from cnn.training.assembly import (
    Evaluator,
    Trainer,
    make_evaluator,
    make_trainer,
    make_update,
)
from cnn.training.mesh import batch_sharding
from cnn.training.plan import TrainingPlan, make_training_plan
from cnn.training.provenance import provenance
from cnn.training.steps import Recipe
from cnn.training.streams import stream_key

PLACEMENTS = ("device", "stream")
# Shares of a step below which the cost of the input is negligible.
_NOTHING = 0.02


def measure_bound(
    config: ConfigDict, steps: int, repeats: int, dataset: data.Dataset | None = None
) -> dict[str, Any]:
    """Measures a config with its data on the device and streaming.

    Args:
      config: a complete config.
      steps: per repeat; 0: about one second's worth.
      repeats: turns of each kind.
      dataset: instead of the one that `config.data` describes.

    Returns:
      `placements`: for each one the result of `bound`, or `{"verdict"}` with the reason why it is
      not possible; `chosen`: the config's own; and the conditions of the measurement.

    Raises:
      UserError: the config does not fit its data.
    """
    dataset = dataset or data.open_dataset(config.data)
    evaluator = make_evaluator(config, dataset)
    plan = make_training_plan(config, len(dataset.train), evaluator.mesh.size)
    chosen = make_trainer(evaluator, plan)
    found = {}
    for placement in PLACEMENTS:
        if placement == "device" and not chosen.feed.arrays and config.data.placement == "auto":
            found[placement] = {"verdict": "not available with this config (data.placement=auto)"}
            continue
        placed = replace(evaluator, config=_placed(config, placement))
        try:
            trainer = make_trainer(placed, plan)
        except UserError as error:
            found[placement] = {"verdict": f"not available: {error}"}
            continue
        found[placement] = bound(placed, plan, trainer, steps, repeats)
    return {
        "placements": found,
        "chosen": "device" if chosen.feed.arrays else "stream",
        "batch_size": config.train.batch_size,
        "repeats": repeats,
        "load": round(os.getloadavg()[0], 1),
        "fingerprint": fingerprint(config),
        "config": to_plain(config),
    } | provenance()


def _placed(config: ConfigDict, placement: str) -> ConfigDict:
    other = config.copy_and_resolve_references()
    with other.unlocked():
        other.data.placement = placement
    return other.lock()


def bound(
    evaluator: Evaluator, plan: TrainingPlan, trainer: Trainer, steps: int, repeats: int
) -> dict[str, Any]:
    """Times four things in turns of some steps each.

    Data only: batches placed on the devices and augmented there. Compute only: the training step
    without the two, on one batch that lies there augmented. Both: the training step as it is.
    Plain: the same with nothing but normalisation in place of the augmentation.

    Returns:
      `images_per_second` of each, medians; `input_share`, by how much the data make a step longer
      (see `turn_ratio`), and the `augmentation_share` of that; `bound` ("data" or "compute", the
      slower by itself), in how many `turns` of all, the `p_value` of a sign test, and the `verdict`
      in words.
    """
    recipe = trainer.recipe
    plain = replace(recipe, augment=_normalized(evaluator))
    compute = _compute_only(evaluator, trainer, recipe)
    steps = steps or _steps_of_a_second(compute)
    functions = {
        "data": _data_only(evaluator, trainer, recipe),
        "compute": partial(compute, steps),
        "both": _updates(evaluator, trainer, recipe),
        "plain": _updates(evaluator, trainer, plain),
    }
    batches = {name: _Batches(trainer.feed, steps) for name in ("data", "both", "plain")}
    calls = {name: _bind(call, batches.get(name)) for name, call in functions.items()}
    opens = {name: each.open for name, each in batches.items()}
    try:
        seconds = turns(calls, repeats, opens)
    finally:
        for each in batches.values():
            each.close()
    return summarize_turns(seconds, steps * evaluator.config.train.batch_size) | {"steps": steps}


def _steps_of_a_second(compute: Callable[[int], Any]) -> int:
    """Returns the number of steps of a turn, long enough to average out other processes."""
    jax.block_until_ready(compute(1))
    return max(1, round(1 / seconds_of(partial(compute, 1))))


class _Batches:
    """Batches of a feed for each turn; nothing is decoded during other turns."""

    def __init__(self, feed: data.Feed, steps: int):
        self._feed, self._steps, self._start = feed, steps, 0
        self._batches: Iterator[dict[str, jax.Array]] = iter(())

    def open(self) -> None:
        """Takes the first batch, which has to be waited for in the first step of a run only."""
        self.close()
        stop = self._start + self._steps + 1
        self._batches, self._start = self._feed.batches(self._start, stop), stop
        next(self._batches)

    def take(self) -> Iterator[dict[str, jax.Array]]:
        """Returns the batches of a turn."""
        return self._batches

    def close(self) -> None:
        """Ends the threads of the last turn."""
        if hasattr(self._batches, "close"):
            self._batches.close()


def _bind(call: Callable[..., Any], batches: _Batches | None) -> Callable[[], Any]:
    return call if batches is None else lambda: call(batches.take())


def _normalized(evaluator: Evaluator) -> data.augmentation.Augment:
    dataset = evaluator.dataset

    def apply(key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        images = dataset.signal.prepare(images)
        return images, jax.nn.one_hot(labels, dataset.num_classes, dtype=jnp.float32)

    return apply


def _prepare(evaluator: Evaluator, trainer: Trainer, recipe: Recipe) -> Callable[..., Any]:
    """Returns a jitted (batch, step) -> augmented images and targets."""

    def prepare(seeds: Any, arrays: Any, batch: Any, step: jax.Array) -> Any:
        loaded = recipe.load(arrays, batch)
        key = stream_key(seeds.augment, "augment", step)
        return recipe.augment(key, loaded["input"], loaded["label"])

    jitted = jax.jit(prepare, out_shardings=batch_sharding(evaluator.mesh))
    return lambda batch, step: jitted(trainer.seeds, trainer.feed.arrays, batch, step)


def _data_only(evaluator: Evaluator, trainer: Trainer, recipe: Recipe) -> Callable[..., Any]:
    prepare = _prepare(evaluator, trainer, recipe)

    def run(batches: Iterator[dict[str, jax.Array]]) -> Any:
        before = last = None
        for step, batch in enumerate(batches):
            # As in training, the host runs ahead of the device by little.
            jax.block_until_ready(before)
            before, last = last, prepare(batch, jnp.int32(step))
        return last

    return run


def _compute_only(evaluator: Evaluator, trainer: Trainer, recipe: Recipe) -> Callable[[int], Any]:
    images, targets = _prepare(evaluator, trainer, recipe)(
        next(trainer.feed.batches(0, 1)), jnp.int32(0)
    )
    ready = replace(
        recipe,
        load=lambda arrays, batch: batch,
        augment=lambda key, image, label: (image, label),
    )
    update = make_update(ready, evaluator.mesh, trainer.abstract_state())
    state = trainer.new_state()

    def run(steps: int) -> Any:
        nonlocal state
        for _ in range(steps):
            state, sums = update(state, trainer.seeds, (), {"input": images, "label": targets})
        return state, sums

    return run


def _updates(evaluator: Evaluator, trainer: Trainer, recipe: Recipe) -> Callable[..., Any]:
    update = make_update(recipe, evaluator.mesh, trainer.abstract_state())
    state = trainer.new_state()

    def run(batches: Iterator[dict[str, jax.Array]]) -> Any:
        nonlocal state
        before = last = None
        for batch in batches:
            jax.block_until_ready(before)
            state, sums = update(state, trainer.seeds, trainer.feed.arrays, batch)
            before, last = last, sums
        return state

    return run


def summarize_turns(seconds: dict[str, list[float]], images: int) -> dict[str, Any]:
    """Returns what `bound` returns, from the seconds of each turn of so many images."""
    median = {name: statistics.median(each) for name, each in seconds.items()}
    slower = "data" if median["data"] > median["compute"] else "compute"
    pairs = list(zip(seconds["data"], seconds["compute"], strict=True))
    wins = sum((d > c) == (slower == "data") for d, c in pairs)
    both, plain = (turn_ratio(seconds[name], seconds["compute"]) for name in ("both", "plain"))
    found = {
        "images_per_second": {name: images / each for name, each in median.items()},
        "input_share": both - 1,
        "augmentation_share": both - plain,
        "bound": slower,
        "turns": wins,
        "p_value": float(binomtest(wins, len(pairs)).pvalue),
    }
    return found | {"verdict": _verdict(found, len(pairs))}


def _verdict(found: dict[str, Any], repeats: int) -> str:
    speeds, slower = found["images_per_second"], found["bound"]
    name, other = ("input", "compute") if slower == "data" else ("compute", "data")
    start = (
        f"{name}-bound: {slower} alone takes {speeds[other] / speeds[slower]:.3g} times as long as "
        f"{other} alone, longer in {found['turns']} of {repeats} repeats (sign test, "
        f"p = {found['p_value']:.2g}); "
    )
    share = found["input_share"]
    if share <= _NOTHING:
        return start + f"the input adds no measurable time to the step ({share:+.1%})"
    return (
        start + f"the input adds {share:.1%} to the step, of which augmentation "
        f"{found['augmentation_share']:.1%}"
    )


def bound_table(result: dict[str, Any]) -> Table:
    """Returns the examples per second of every placement as a table."""
    example = data.SIGNALS[result["config"]["data"]["signal"]].stored.name
    shown = Table(title=f"{example}s/s, batch {result['batch_size']}, {result['device']}")
    shown.add_column("placement")
    for column in ("data only", "compute only", "both", "both, no augmentation"):
        shown.add_column(column, justify="right")
    for placement, found in result["placements"].items():
        name = placement + (" (the config's)" if placement == result["chosen"] else "")
        shown.add_row(name, *(f"{v:,.0f}" for v in found.get("images_per_second", {}).values()))
    return shown
