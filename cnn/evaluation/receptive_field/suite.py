"""The suite `receptive_field`: theoretical per layer, effective before and after training."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import jax
import jax.numpy as jnp
import numpy as np

from cnn import data
from cnn.config.errors import UserError
from cnn.config.metric import Metric
from cnn.data.signals.signal import Signal
from cnn.data.signals.sound import SoundSignal
from cnn.data.signals.video import VideoSignal
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import sample
from cnn.evaluation.receptive_field.effective import effective_field, field_size
from cnn.evaluation.receptive_field.pictures import field_over_image
from cnn.evaluation.receptive_field.section import receptive_field_section
from cnn.evaluation.receptive_field.theoretical import ReceptiveField, fields_of_axes
from cnn.evaluation.suite import ExampleCount, Progress, Results, Suite
from cnn.pages.drawing import Drawing

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
    """Measures theoretical fields of the network and effective fields of the checkpoint.

    Protocols: `receptive_field.receptive_fields` along every axis and
    `effective_field.effective_field`, of the last block's centre unit, with the variables of the
    run's seed before training, and those of the checkpoint.

    Args:
      run: the checkpoint.
      split: its name.
      progress: called after each batch.
      images: of the effective field, evenly spaced over the split; 0: all.

    Returns:
      {"axes": {names of axes: [fields]}, see `fields_of_axes`; "effective": {"layer", "images",
      "before", "after"}, sizes in pixels or positions}; "drawn", what runs where in the pictures;
      "along_time", see `_along_time`; and of sound "milliseconds", (of one position, from one to
      the next).

    Raises:
      UserError: no layer of the network keeps positions.
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
    if isinstance(signal, SoundSignal):
        results["milliseconds"] = signal.features.extent
    progress.keep(results)
    examples = sample(run.split(split), images)
    effective, shown = {"layer": layer, "images": len(examples)}, {}
    for name, field in _effective_fields(run, examples, layer, progress):
        effective[name] = field_size(field)
        if field.ndim > 1:
            shown["drawn"] = _draw(name, field, examples, signal, progress)
        if "milliseconds" in results or isinstance(signal, VideoSignal):
            step = results.get("milliseconds", (1, 1))[1]
            shown.setdefault("along_time", {})[name] = _along_time(field, step)
    return results | shown | {"effective": effective}


def _effective_fields(
    run: CheckpointedRun, examples: data.Split, layer: str, progress: Progress
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the effective field "before" training and "after" it."""
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
    name: str, field: np.ndarray, examples: data.Split, signal: Signal, progress: Progress
) -> str:
    """Lays a field over the first example as a picture; returns what runs where in it."""
    drawing = Drawing(signal)
    image = drawing.pictures(examples.read(np.arange(1))[0])[0]
    overlay = field_over_image(image, drawing.upright(field[None])[0])
    overlay.save(progress.picture(f"{name}.png"))
    return drawing.axes


def _along_time(field: np.ndarray, step: float) -> list[tuple[float, float]]:
    """Returns times, and the field summed over the other axes as a share of its largest value.

    A long field is cut into `POINTS` parts, and each has the time of its middle and the largest of
    its values.

    Args:
      field: `[T, ...]`.
      step: from one position to the next.
    """
    sums = field.reshape(len(field), -1).sum(1)
    shares = sums / max(sums.max(), 1e-30)
    parts = np.array_split(np.arange(len(field)), min(POINTS, len(field)))
    return [(float(step * part.mean()), float(shares[part].max())) for part in parts]


def _renamed(names: str, signal: data.Signal) -> str:
    """Calls the axes of a spectrogram, or a clip, what they are."""
    if isinstance(signal, VideoSignal):
        return names.replace("depth", "time (frames)")
    if not isinstance(signal, SoundSignal):
        return names
    return names.replace("height", "time").replace("width", "bands")


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
