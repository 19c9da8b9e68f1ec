"""The suite `equivariance`: does a shifted image give a shifted feature map, layer by layer?"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from markupsafe import Markup

from cnn.config.errors import UserError
from cnn.data import load
from cnn.evaluation.blocks import beside, block_path, path_of_blocks
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import ModelUnderTest, sample, subject_of
from cnn.evaluation.shift.moves import fourier_shift, roll
from cnn.evaluation.suite import Count, Figures, Measured, Progress
from cnn.pages import page
from cnn.pages.curves import Curve, curves, legend
from cnn.pages.page import Cell, Column, sortable_table

Maps = dict[str, Array]


def measure(
    run: CheckpointedRun, split: str, progress: Progress, *, images: Count = 1024
) -> Figures:
    """Measures the equivariance error of every layer directly below the network.

    Args:
      run: the checkpoint.
      split: its name.
      progress: told after each batch.
      images: examples, spread evenly over the split; 0: all. The mean over a thousand is that over
        any more of them to two digits.

    Returns:
      {"count": examples seen, "layers": {name: figures}, "left_out": names of layers whose map is
      no whole fraction of the image}. Figures of a layer: `stride` S, and `error`, a list of
      (shift d, mean error) for d = 1 .. S; see `measure_equivariance`.

    Raises:
      UserError: no layer has a map that can be compared.
    """
    subject = subject_of(run, sample(run.split(split), images))
    maps = feature_maps(run.evaluator.model)
    strides, left_out = strides_of(subject, maps)
    if not strides:
        raise UserError(
            "--suite=equivariance: no layer of this network has a feature map that divides the "
            f"images' {subject.image_shape[0]}x{subject.image_shape[1]} pixels; "
            "choose another model.padding"
        )
    figures: Figures = {}
    total = len(subject.feed.split)
    for seen, found in measure_equivariance(subject, maps, strides):
        figures = {"count": seen, "layers": found, "left_out": left_out}
        progress.show(seen, total)
        progress.keep(figures)
    return figures


def feature_maps(model: nn.Module) -> Callable[[Any, Array], Maps]:
    """Returns (variables, normalized images) -> outputs `[B, h, w, C]` of the model's submodules.

    Those directly below the model, by name, in evaluation; of a frame-wise model those of the
    network that sees the frames, `[B, T, h, w, C]`. Of a submodule that returns several arrays the
    first one counts; one that is called several times is taken at its first call. Dropout is left
    out: it does nothing here.
    """

    def maps(variables: Any, images: Array) -> Maps:
        _, state = model.apply(
            variables,
            images,
            train=False,
            capture_intermediates=lambda module, method: (
                method == "__call__"
                and len(block_path(model, module.path)) == 1
                and not isinstance(module, nn.Dropout)
            ),
            mutable=["intermediates"],
        )
        found = state["intermediates"]
        for part in path_of_blocks(model):
            found = found[part]
        outputs = {
            name: beside(model, jax.tree.leaves(calls["__call__"][0])[0], len(images))
            for name, calls in found.items()
            if "__call__" in calls
        }
        return {name: y for name, y in outputs.items() if y.ndim == images.ndim}

    return maps


def strides_of(
    subject: ModelUnderTest, maps: Callable[[Any, Array], Maps]
) -> tuple[dict[str, int], list[str]]:
    """Returns the stride of each layer (pixels between neighbours of its map), and the rest.

    The rest are layers whose map is no whole fraction of the image, the same on both axes: borders
    that are cut off move its centre.
    """
    images = jax.ShapeDtypeStruct((1, *subject.image_shape), np.float32)
    shapes = jax.eval_shape(maps, subject.variables, images)
    sizes = {name: shape.shape[1:3] for name, shape in shapes.items()}
    whole = _dividing(subject.image_shape[:2], set(sizes.values()))
    strides = {n: subject.image_shape[0] // size[0] for n, size in sizes.items() if size in whole}
    left_out = [name for name in sizes if name not in strides]
    return strides, left_out


def _dividing(image: tuple[int, int], sizes: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Returns the sizes that divide the next larger one, from the image downwards.

    Of 28, 14, 7 and 4, the last divides 28 but comes from 7 with a border: its neighbours are 8
    pixels apart.
    """
    found, larger = set(), image
    for size in sorted(sizes, reverse=True):
        factors = {divmod(a, b) for a, b in zip(larger, size, strict=True)}
        if len(factors) == 1 and factors.pop()[1] == 0:
            found.add(size)
            larger = size
    return found


def measure_equivariance(
    subject: ModelUnderTest, maps: Callable[[Any, Array], Maps], strides: dict[str, int]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Measures ||f(T_d x) - T_{d/S} f(x)|| / ||f(x)|| of each layer f, for d = 1 .. its stride S.

    T_d moves images circularly by d pixels down and d to the right. T_{d/S} moves the map by as
    much: by trigonometric interpolation (`fourier_shift`), so for d that S does not divide the
    error also holds what a map of that resolution cannot tell. Norms are of whole maps, the ratio
    is averaged over images; images whose map is all zero are left out of it. A network whose
    borders are not circular errs there too.

    Args:
      subject: network and examples.
      maps: `feature_maps` of the network.
      strides: of the layers that are measured.

    Yields:
      After each batch, the examples seen and {name: {"stride": S, "error": [(d, mean), ...]}},
      None for a mean over no image.
    """
    errors = make_errors(subject, maps, strides)
    furthest = max(strides.values())
    sums = {name: np.zeros((stride, 2)) for name, stride in strides.items()}
    seen = 0
    for batch in subject.feed.batches():
        mask = np.asarray(batch["mask"]).astype(bool)
        for d in range(1, furthest + 1):
            found = errors(subject.variables, subject.feed.arrays, batch, np.int32(d))
            for name, values in jax.device_get(found).items():
                if d <= strides[name]:
                    kept = values[mask & np.isfinite(values)].astype(np.float64)
                    sums[name][d - 1] += kept.sum(), kept.size
        seen += int(mask.sum())
        yield seen, {name: _layer(strides[name], table) for name, table in sums.items()}


def make_errors(
    subject: ModelUnderTest, maps: Callable[[Any, Array], Maps], strides: dict[str, int]
) -> Callable[..., dict[str, Array]]:
    """Returns jitted (variables, arrays, batch, d) -> {layer: error of each image `[B]`}.

    The error of an all-zero map is NaN.
    """

    def errors(variables: Any, arrays: Any, batch: Any, d: Array) -> dict[str, Array]:
        images = subject.normalize(load(arrays, batch)["input"])
        offsets = jnp.full(2, d)
        # One pass over both: batch statistics are the running ones, so images do not interact.
        together = maps(variables, jnp.concatenate([images, roll(images, offsets)]))
        found = {}
        for name, stride in strides.items():
            still, moved = jnp.split(together[name].astype(jnp.float32), 2)
            expected = fourier_shift(still, offsets / stride)
            found[name] = _norm(moved - expected) / _norm(still)
        return found

    return jax.jit(errors)


def _norm(x: Array) -> Array:
    return jnp.sqrt(jnp.sum(x * x, axis=tuple(range(1, x.ndim))))


def _layer(stride: int, table: np.ndarray) -> dict[str, Any]:
    means = [float(total / count) if count else None for total, count in table]
    return {"stride": stride, "error": list(enumerate(means, start=1))}


def section(runs: Sequence[Measured]) -> Markup:
    """A table of the errors at the stride and at worst, and a curve for each layer."""
    columns = [
        Column("run"),
        Column("layer"),
        Column("stride", numeric=True),
        Column("at the stride", numeric=True, hint="the map moves by one element"),
        Column("worst", numeric=True, hint="largest mean error of all shifts up to the stride"),
    ]
    rows, remarks = [], []
    for run in runs:
        for name, layer in run.figures["layers"].items():
            errors = [e for _, e in layer["error"] if e is not None]
            if errors:
                cells = (Cell(f"{e:.2e}", e) for e in (errors[-1], max(errors)))
                rows.append([Cell(run.name), Cell(name), Cell(layer["stride"]), *cells])
        if run.figures["left_out"]:
            names = ", ".join(run.figures["left_out"])
            why = f"{run.name}: left out, as their maps do not divide the image: {names}"
            remarks.append(page.note(why))
    note = (
        "How far a layer's map of a shifted image is from its shifted map, relative to the map: "
        "||f(T_d x) - T_{d/S} f(x)|| / ||f(x)||, for circular shifts by d pixels along the "
        "diagonal, up to the layer's stride S. Maps are moved by Fourier interpolation. Mean over "
        f"{min(run.figures['count'] for run in runs):,} images."
    )
    charts = page.figure("Error of each layer by shift of the image, in pixels", *_charts(runs))
    table = sortable_table(columns, rows)
    return page.section("Equivariance", table, *remarks, charts, note=note)


def _charts(runs: Sequence[Measured]) -> Iterator[Markup]:
    """Yields a small chart for each layer, with a line for each run."""
    if len(runs) > 1:
        yield legend([run.name for run in runs])
    drawn = []
    for name in dict.fromkeys(name for run in runs for name in run.figures["layers"]):
        lines = []
        for run in runs:
            found = run.figures["layers"].get(name, {"error": []})["error"]
            lines.append(Curve(run.name, [(d, e) for d, e in found if e is not None]))
        if any(one.points for one in lines):
            drawn.append(page.figure(name, _chart(lines)))
    yield page.panels(*drawn)


def _chart(lines: Sequence[Curve]) -> Markup:
    return curves(
        lines,
        x_format=lambda v: f"{v:g}",
        y_format=lambda v: f"{v:.2g}",
        x_label="",
        y_label="",
        height=120,
        named=False,
        description="equivariance error of a layer by shift",
    )
