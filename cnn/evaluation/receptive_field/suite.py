"""The receptive field suite: theoretical for every layer, effective before and after training."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from markupsafe import Markup
from PIL import Image

from cnn import data
from cnn.config.errors import UserError
from cnn.config.metric import Metric
from cnn.data.signals.signal import Signal
from cnn.data.signals.sound import SoundSignal
from cnn.data.signals.video import VideoSignal
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import sample
from cnn.evaluation.receptive_field.effective import effective_field, field_size
from cnn.evaluation.receptive_field.theoretical import Field, fields_of_axes
from cnn.evaluation.suite import Count, Figures, Measured, Progress, called
from cnn.pages import page
from cnn.pages.curves import Curve, curves
from cnn.pages.drawing import Drawing
from cnn.pages.page import Cell, Column, details, sortable_table

BATCH = 16
POINTS = 256  # of a curve along time, at most
UNITS = {"image": "pixels", "sound": "positions", "video": "pixels"}
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
NOTE = (
    "Theoretical: {unit} from the first to the last that a unit can depend on, along each axis "
    "(Araujo et al., Distill 2019), far from borders. Effective: side of the square, cube or "
    "interval of as many {unit} as have more than 4.55 % of the largest mean gradient of the last "
    "layer's centre unit (Luo et al., NeurIPS 2016). Pictures: the gradient, scaled to its largest "
    "value, over one of the {many}; before training, and at the checkpoint."
)


def measure(run: CheckpointedRun, split: str, progress: Progress, *, images: Count = 64) -> Figures:
    """Measures fields of the network and, on some images of a split, of the checkpoint.

    Protocols: `receptive_field.receptive_fields` along every axis and
    `effective_field.effective_field`, of the last block's centre unit, with the variables of the
    run's seed before training, and those of the checkpoint.

    Args:
      run: the checkpoint.
      split: its name.
      progress: told after each batch.
      images: of the effective field, spread evenly over the split; 0: all.

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
    figures: Figures = {"axes": named}
    if isinstance(signal, SoundSignal):
        figures["milliseconds"] = signal.features.extent
    progress.keep(figures)
    examples = sample(run.split(split), images)
    effective, shown = {"layer": layer, "images": len(examples)}, {}
    for name, field in _effective_fields(run, examples, layer, progress):
        effective[name] = field_size(field)
        if field.ndim > 1:
            shown["drawn"] = _draw(name, field, examples, signal, progress)
        if "milliseconds" in figures or isinstance(signal, VideoSignal):
            step = figures.get("milliseconds", (1, 1))[1]
            shown.setdefault("along_time", {})[name] = _along_time(field, step)
    return figures | shown | {"effective": effective}


def _effective_fields(
    run: CheckpointedRun, examples: data.Split, layer: str, progress: Progress
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the effective field "before" training and "after" it."""
    evaluator, count = run.evaluator, len(examples)
    start = evaluator.new_state()
    states = {
        "before": {"params": start.params, "batch_stats": start.batch_stats},
        "after": run.variables,
    }
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
    overlay = _overlay(image, drawing.upright(field[None])[0])
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


def _last_block(fields: Sequence[Field]) -> str:
    blocks = [field.layer for field in fields if "/" not in field.layer]
    if not blocks:
        raise UserError("--suite: receptive_field needs a network whose layers keep positions")
    return blocks[-1]


def _batches(run: CheckpointedRun, examples: data.Split) -> Iterator[jax.Array]:
    dataset, device = run.evaluator.dataset, run.evaluator.mesh.devices.flat[0]
    normal = jax.jit(dataset.signal.prepare)
    for start in range(0, len(examples), BATCH):
        rows = np.arange(start, min(start + BATCH, len(examples)))
        yield jnp.asarray(normal(jax.device_put(examples.read(rows)[0], device)))


def _overlay(image: np.ndarray, field: np.ndarray) -> Image.Image:
    """Draws a field over an image `[H, W, C]`: the image in grey, the field as orange light."""
    grey = image.astype(np.float64).mean(-1, keepdims=True) * 0.5
    light = (field / max(field.max(), 1e-30))[..., None] ** 0.5
    colour = np.array([255.0, 140.0, 20.0])
    mixed = grey * (1 - light) + colour * light
    picture = Image.fromarray(np.round(mixed).astype(np.uint8))
    # A strip of frames is as wide as the page.
    widest = 768 if picture.width > 4 * picture.height else 224
    scale = max(1, widest // max(picture.size))
    return picture.resize([n * scale for n in picture.size], Image.Resampling.NEAREST)


def section(runs: Sequence[Measured]) -> Markup:
    """The last layer of each run, pictures of the effective fields, and tables of all layers."""
    columns = [Column("run"), Column("last layer"), Column("along")]
    unit = " or ".join(dict.fromkeys(UNITS[run.signal] for run in runs))
    for label, hint in (
        ("theoretical", f"{unit} along that axis"),
        ("before training", f"effective, {unit}"),
        ("after training", f"effective, {unit}"),
        ("paths apart", f"{unit} between the centres of paths that are added"),
    ):
        columns.append(Column(label, numeric=True, hint=hint))
    each = [(run, names, layers) for run in runs for names, layers in run.figures["axes"].items()]
    tables = [
        details(f"Layers of {run.name}, along {names}", _table(run, layers))
        for run, names, layers in each
    ]
    return page.section(
        "Receptive field",
        sortable_table(columns, [_row(*one) for one in each]),
        *(_misaligned(*one) for one in each),
        *map(_pictures, runs),
        *(_curves(run) for run in runs if "along_time" in run.figures),
        *tables,
        note=NOTE.format(unit=unit, many=called(runs)),
    )


def _row(run: Measured, names: str, layers: Sequence[Figures]) -> list[Cell]:
    last = [layer for layer in layers if "/" not in layer["layer"]][-1]
    effective = run.figures.get("effective", {})
    return [
        Cell(run.name),
        Cell(last["layer"]),
        Cell(names),
        Cell(_whole(run)) if last["whole"] else Cell(_size(run, names, last["size"]), last["size"]),
        *(_number(effective.get(name)) for name in ("before", "after")),
        _number(last["misaligned"]),
    ]


def _whole(run: Measured) -> str:
    return f"whole {called([run], plural=False)}"


def _size(run: Measured, names: str, size: int) -> str:
    """Returns a size, in milliseconds as well where it is of time."""
    if "milliseconds" not in run.figures or "time" not in names:
        return str(size)
    first, step = run.figures["milliseconds"]
    return f"{size} ({first + (size - 1) * step:.4g} ms)"


def _misaligned(run: Measured, names: str, layers: Sequence[Figures]) -> Markup | None:
    """Names the blocks whose paths look at different places."""
    found = [
        f"{layer['layer']} ({layer['misaligned']:g})"
        for layer in layers
        if layer["misaligned"] and "/" not in layer["layer"]
    ]
    if not found:
        return None
    words = f"{run.name}, along {names}: the paths that are added look at different places in "
    where = ", ".join(found)
    said = f"{words}{where}, {UNITS[run.signal]} apart."
    return page.callout("remark", "Misaligned centres.", said)


def _number(value: float | None) -> Cell:
    return Cell("" if value is None else f"{value:.4g}", value)


def _pictures(run: Measured) -> Markup:
    drawn: list[Any] = []
    for name, words in (("before", "before training"), ("after", "after training")):
        path = run.folder / f"{name}.png"
        if "effective" in run.figures and path.is_file():
            size = run.figures["effective"][name]
            drawn.append(
                page.picture(
                    path,
                    f"effective receptive field of {run.name} {words}",
                    f"{run.name}, {words}: {size:.1f} {UNITS[run.signal]}",
                )
            )
    if axes := run.figures.get("drawn"):
        drawn.append(page.note(f"In the pictures: {axes}."))
    return page.panels(*drawn)


def _curves(run: Measured) -> Markup:
    """Draws the field along time, before and after training."""
    sides = {"before": "before training", "after": "after training"}
    along = run.figures["along_time"]
    lines = [Curve(words, along[name]) for name, words in sides.items() if name in along]
    chart = curves(
        lines,
        x_format=lambda v: f"{v:g}",
        y_format=lambda v: f"{v:g}",
        x_label="milliseconds" if "milliseconds" in run.figures else "frame",
        y_label="gradient, as a share of its largest",
        y_range=(0.0, 1.05),
        height=120,
        description=f"effective receptive field of {run.name} along time",
    )
    return page.figure(f"Effective field along time, {run.name}", chart)


def _table(run: Measured, layers: Sequence[Figures]) -> Markup:
    columns = [Column("layer")]
    columns += [
        Column(name, numeric=True)
        for name in ("size", "stride", "padding", "centre of unit 0", "paths apart")
    ]
    names = ("size", "stride", "padding", "centre", "misaligned")
    rows = [
        [
            Cell(layer["layer"]),
            *(
                Cell(_whole(run)) if layer["whole"] and name == "size" else _number(layer[name])
                for name in names
            ),
        ]
        for layer in layers
    ]
    return sortable_table(columns, rows)
