"""The suite `landscape`: loss along two filter-normalised random directions."""

from collections.abc import Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from markupsafe import Markup

from cnn.config.fields import Interval
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import sample
from cnn.evaluation.suite import ExampleCount, MeasuredRun, Progress, Results, Suite
from cnn.pages import page
from cnn.training.evaluate import evaluate

SEED = 0
NOTE = (
    "Mean loss in nats at the weights plus a times one random direction (rows) plus b times "
    "another (columns). Each filter of a direction has the norm of the network's filter; biases "
    "and norm parameters are fixed (Li et al., NeurIPS 2018). The trained network is in the "
    "middle. Two directions show little of a landscape: compare networks of the same architecture "
    "and seed."
)


def measure_landscape(
    run: CheckpointedRun,
    split: str,
    progress: Progress,
    *,
    images: ExampleCount = 256,
    points: Annotated[int, Interval("[1, 101]")] = 9,
    radius: Annotated[float, Interval("(0, 100]")] = 1.0,
) -> Results:
    """Measures loss and accuracy on a grid around the weights; see `filter_normalized`.

    Batch statistics are those of the checkpoint.

    Args:
      run: the checkpoint.
      split: name of the split.
      progress: called after each point.
      images: number of examples, evenly spaced over the split; 0: all.
      points: grid points per direction; with an odd number, the network itself is in the middle.
      radius: largest coordinate of the grid.

    Returns:
      {"count", "coordinates": along each direction, "loss" and "accuracy": rows of the grid}.
    """
    evaluator, params = run.evaluator, run.variables["params"]
    feed = evaluator.feed(sample(run.split(split), images), evaluator.config.evaluation.views)
    keys = jax.random.split(jax.random.key(SEED))
    first, second = (jax.jit(filter_normalized)(key, params) for key in keys)
    moved = jax.jit(lambda p, d, e, a, b: jax.tree.map(lambda x, u, v: x + a * u + b * v, p, d, e))
    coordinates = np.linspace(-radius, radius, points).tolist() if points > 1 else [0.0]
    loss, accuracy = np.zeros((2, points, points))
    for i, a in enumerate(coordinates):
        for j, b in enumerate(coordinates):
            weights = moved(params, first, second, np.float32(a), np.float32(b))
            outcome = evaluate(evaluator.step, run.variables | {"params": weights}, feed)
            loss[i, j] = outcome["loss"].astype(np.float64).mean()
            accuracy[i, j] = (outcome["prediction"] == outcome["label"]).mean()
            progress.show(i * points + j + 1, points * points)
    return {
        "count": len(feed.split),
        "coordinates": coordinates,
        "loss": loss.tolist(),
        "accuracy": accuracy.tolist(),
    }


def filter_normalized(key: Array, params: Any) -> Any:
    """Returns a random direction with the filter norms of the network (Li et al., 2018).

    Gaussian, with each filter (along the last axis of a kernel) scaled to the Euclidean norm of the
    network's filter; zero for biases and the parameters of norms, as in the authors' code.
    """
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(tree, [_direction(k, w) for k, w in zip(keys, leaves, strict=True)])


def _direction(key: Array, weights: Array) -> Array:
    if weights.ndim < 2:
        return jnp.zeros_like(weights)
    drawn = jax.random.normal(key, weights.shape, weights.dtype)
    axes = tuple(range(weights.ndim - 1))
    length, own = (jnp.sqrt(jnp.square(x).sum(axes)) for x in (weights, drawn))
    return drawn * length / jnp.maximum(own, 1e-10)


def landscape_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a heat map of the loss per run."""
    maps = []
    for run in runs:
        names = [f"{c:+.2f}" for c in run.results["coordinates"]]
        rows = list(zip(names, run.results["loss"], strict=True))
        maps.append(page.figure(run.name, page.heat_map(names, rows)))
    count = min(run.results["count"] for run in runs)
    note = f"{NOTE} Over {count:,} examples."
    return page.section("Loss landscape", page.pair(*maps), note=note)


SUITE = Suite(
    about="loss along two filter-normalised directions",
    measure=measure_landscape,
    section=landscape_section,
)
