"""The suite `receptive_field`: theoretical per layer, and effective before and after training."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import jax
import jax.numpy as jnp
import numpy as np

from cnn import data
from cnn.config.errors import UserError
from cnn.config.metric import Metric
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import sample
from cnn.evaluation.receptive_field.effective import effective_field, field_size
from cnn.evaluation.receptive_field.pictures import field_over_image
from cnn.evaluation.receptive_field.section import receptive_field_section
from cnn.evaluation.receptive_field.theoretical import ReceptiveField, fields_of_axes
from cnn.evaluation.suite import ExampleCount, Progress, Results, Suite

BATCH = 16
POINTS = 256  # of a curve along time, at most
METRICS = tuple(
    Metric(
        f"effective, {when}",
        f"Effective receptive field {when} training",
        "effective field",
        "pixels",
        None,
        "side of the square of pixels above 4.55 % of the largest gradient (Luo et al., 2016)",
    )
    for when in ("before", "after")
)


def measure_receptive_field(
    run: CheckpointedRun, split: str, progress: Progress, *, images: ExampleCount = 64
) -> Results:
    """Measures theoretical receptive fields, and effective ones before and after training.

    Theoretical fields (`theoretical.receptive_fields`) are along every axis. Effective fields
    (`effective.effective_field`) are of the centre unit of the last block, with the initial
    variables of the run's seed and with those of the checkpoint.

    Args:
      run: the checkpoint.
      split: name of the split.
      progress: called after each batch.
      images: number of images for the effective field, evenly spaced over the split; 0: all.

    Returns:
      {"axes": {names of axes: [fields]}, see `fields_of_axes`, "effective": {"layer", "images",
      "before", "after"}, sizes in pixels or positions, "drawn": what the axes of the pictures are,
      "along_time": see `_along_time`, and for sound "milliseconds": (extent of one position, step
      between positions)}.

    Raises:
      UserError: the network has no spatial feature maps.
    """
    evaluator = run.evaluator
    axes = fields_of_axes(evaluator.model, evaluator.dataset.input_shape)
    layer = _last_block(next(iter(axes.values())))
    signal = evaluator.dataset.signal
    named = {
        _renamed(names, signal): [asdict(field) for field in fields]
        for names, fields in axes.items()
    }
    results: Results = {"axes": named}
    if signal.milliseconds:
        results["milliseconds"] = signal.milliseconds
    progress.keep(results)
    examples = sample(run.split(split), images)
    effective, shown = {"layer": layer, "images": len(examples)}, {}
    for name, field in _effective_fields(run, examples, layer, progress):
        effective[name] = field_size(field)
        if field.ndim > 1:
            shown["drawn"] = _draw(name, field, examples, signal, progress)
        if signal.timed:
            step = results.get("milliseconds", (1, 1))[1]
            shown.setdefault("along_time", {})[name] = _along_time(field, step)
    return results | shown | {"effective": effective}


def _effective_fields(
    run: CheckpointedRun, examples: data.Split, layer: str, progress: Progress
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the effective field "before" and "after" training."""
    evaluator, count = run.evaluator, len(examples)
    states = {"before": evaluator.new_state().variables(), "after": run.variables}
    for i, (name, variables) in enumerate(states.items()):
        yield (
            name,
            effective_field(
                evaluator.model,
                jax.device_put(variables, evaluator.mesh.devices.flat[0]),
                _batches(run, examples),
                layer,
                lambda done, i=i: progress.show(i * count + done, 2 * count),
            ),
        )


def _draw(
    name: str, field: np.ndarray, examples: data.Split, signal: data.Signal, progress: Progress
) -> str:
    """Draws a field over the first example; returns what the axes of the picture are."""
    image = signal.pictures(examples.read(np.arange(1))[0])[0]
    overlay = field_over_image(image, signal.upright(field[None])[0])
    overlay.save(progress.picture(f"{name}.png"))
    return signal.drawn_axes


def _along_time(field: np.ndarray, step: float) -> list[tuple[float, float]]:
    """Returns (time, share) pairs of a field summed over its other axes, relative to the maximum.

    A long field is divided into `POINTS` parts, each with the time of its middle and its maximum.

    Args:
      field: `[T, ...]`.
      step: time between positions.
    """
    sums = field.reshape(len(field), -1).sum(1)
    shares = sums / max(sums.max(), 1e-30)
    parts = np.array_split(np.arange(len(field)), min(POINTS, len(field)))
    return [(float(step * part.mean()), float(shares[part].max())) for part in parts]


def _renamed(names: str, signal: data.Signal) -> str:
    """Names the network's axes as the signal does."""
    for network, own in signal.axis_names.items():
        names = names.replace(network, own)
    return names


def _last_block(fields: Sequence[ReceptiveField]) -> str:
    blocks = [field.layer for field in fields if "/" not in field.layer]
    if not blocks:
        raise UserError("--suite: receptive_field needs a network with spatial feature maps")
    return blocks[-1]


def _batches(run: CheckpointedRun, examples: data.Split) -> Iterator[jax.Array]:
    dataset, device = run.evaluator.dataset, run.evaluator.mesh.devices.flat[0]
    normal = jax.jit(dataset.signal.prepare)
    for start in range(0, len(examples), BATCH):
        rows = np.arange(start, min(start + BATCH, len(examples)))
        yield jnp.asarray(normal(jax.device_put(examples.read(rows)[0], device)))


SUITE = Suite(
    about="theoretical and effective receptive fields",
    measure=measure_receptive_field,
    section=receptive_field_section,
    metrics=METRICS,
)
