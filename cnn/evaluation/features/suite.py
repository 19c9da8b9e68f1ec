"""The suite `features`: first-layer filters, feature maps, Grad-CAM and confused classes."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from cnn import data
from cnn.config.errors import UserError
from cnn.cost.count import count
from cnn.data import SIGNALS
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.feature_maps import feature_maps
from cnn.evaluation.features.class_maps import class_maps
from cnn.evaluation.features.pictures import (
    enlarged,
    grid,
    images_beside,
    in_colour,
    scaled_to_colours,
    strongest_channels,
)
from cnn.evaluation.features.section import features_section
from cnn.evaluation.model_under_test import places
from cnn.evaluation.suite import ExampleCount, Progress, Results, Suite

PAIRS, EXAMPLES = 5, 6
Drawn = tuple[str, np.ndarray, str]  # name, picture `[h, w, 3]` in [0, 1], caption


def draw_features(
    run: CheckpointedRun,
    split: str,
    progress: Progress,
    *,
    images: ExampleCount = 4,
    examples: tuple[int, ...] = (),
    channels: int = 8,
) -> Results:
    """Draws filters, feature maps and Grad-CAM for some images, and the most confused classes.

    Args:
      run: the checkpoint.
      split: name of the split.
      progress: called after each picture.
      images: number of images whose maps are drawn, evenly spaced over the split.
      examples: indices of images in the split, instead of `images`.
      channels: number of channels per block.

    Returns:
      {"pictures": [{"file", "caption"}], "confused": [{"right", "predicted", "count", "examples":
      indices in the split, largest loss first}], "axes": what the axes of the pictures are}.

    Raises:
      UserError: an index is not in the split, or no image is requested.
    """
    part = run.split(split)
    chosen = check_examples(examples, part) if examples else places(part, _some(images))
    pictures: list[Results] = []
    total = len(feature_shapes(run)) + PAIRS + 2

    def draw(drawn: Iterator[Drawn]) -> None:
        for name, picture, caption in drawn:
            enlarged(picture).save(progress.picture(f"{name}.png"))
            pictures.append({"file": f"{name}.png", "caption": caption})
            progress.show(len(pictures), total)
            progress.keep({"pictures": pictures, "confused": []})

    draw(_learned(run, *part.read(chosen), channels))
    confused = _confused(run, split)
    signal = run.evaluator.dataset.signal
    draw(_taken_for_others(signal, part, confused))
    return {"pictures": pictures, "confused": confused, "axes": signal.drawn_axes}


def _learned(
    run: CheckpointedRun, stored: np.ndarray, labels: np.ndarray, channels: int
) -> Iterator[Drawn]:
    """Draws the filters, the maps of some images, and Grad-CAM."""
    kernel, model = _first_kernel(run), run.evaluator.model
    signal = run.evaluator.dataset.signal
    if kernel is not None:
        filters = np.moveaxis(kernel, -1, 0)
        # A network applied to the frames of clips has image filters.
        whole = kernel.ndim - 1 == len(run.evaluator.dataset.input_shape)
        tiles = [scaled_to_colours(one) for one in (signal.upright(filters) if whole else filters)]
        yield "filters", grid(tiles), "Filters of the first layer"
    variables, inputs = _on_device(run, stored)
    maps = jax.device_get(jax.jit(feature_maps(model))(variables, inputs))
    names = list(feature_shapes(run))
    for name in names:
        tiles = strongest_channels(signal.upright(np.asarray(maps[name], np.float32)), channels)
        # One row per example, also with fewer channels.
        across = len(tiles) // len(inputs)
        yield f"maps_{name}", grid(tiles, across), f"Maps of {name}"
    if names:
        see = jax.jit(partial(class_maps, model, layer=names[-1]))
        found, _, seen = jax.device_get(see(variables, inputs))
        overlaid = images_beside(signal.pictures(stored), signal.upright(seen))
        yield "grad_cam", overlaid, f"Grad-CAM at {names[-1]}, {_said(run, labels, found)}"


def _taken_for_others(
    signal: data.Signal, part: data.Split, confused: Sequence[Results]
) -> Iterator[Drawn]:
    for i, pair in enumerate(confused):
        shown = signal.pictures(part.read(np.array(pair["examples"]))[0])
        times = "once" if pair["count"] == 1 else f"{pair['count']} times"
        caption = f"{pair['right']} predicted as {pair['predicted']}, {times}"
        yield f"confused_{i}", grid([in_colour(image / 255) for image in shown]), caption


def _some(images: int) -> int:
    if not images:
        raise UserError("--suite=features: images=0 would draw all of them; give a number from 1")
    return images


def check_examples(examples: tuple[int, ...], part: data.Split) -> np.ndarray:
    """Returns indices into a split as an array.

    Raises:
      UserError: some are not indices of the split.
    """
    wrong = [e for e in examples if type(e) is not int or not 0 <= e < len(part)]
    if wrong:
        raise UserError(
            f"--suite=features: examples={wrong} are not indices of the split; "
            f"use integers from 0 to {len(part) - 1}, such as examples=(0, 7)"
        )
    return np.array(examples)


def feature_shapes(run: CheckpointedRun) -> dict[str, Any]:
    """Returns the map shape of each block for one example, in the order of calls."""
    maps, order = feature_maps(run.evaluator.model), []

    def noted(variables: Any, example: jax.Array) -> dict[str, jax.Array]:
        found = maps(variables, example)
        # jax sorts the results of a traced function by name.
        order.extend(found)
        return found

    example = jax.ShapeDtypeStruct((1, *run.evaluator.dataset.input_shape), np.float32)
    shapes = jax.eval_shape(noted, run.variables, example)
    return {name: shapes[name] for name in order}


def _on_device(run: CheckpointedRun, images: np.ndarray) -> tuple[Any, jax.Array]:
    """Returns the variables and the normalised images on one device."""
    dataset, device = run.evaluator.dataset, run.evaluator.mesh.devices.flat[0]
    normal = jax.jit(dataset.signal.prepare)
    variables = jax.device_put(run.variables, device)
    return variables, normal(jax.device_put(images, device))


def _said(run: CheckpointedRun, labels: np.ndarray, predictions: np.ndarray) -> str:
    names = run.evaluator.dataset.class_names
    pairs = zip(labels, predictions, strict=True)
    classes = [names[p] if p == y else f"{names[p]} (is {names[y]})" for y, p in pairs]
    one = SIGNALS[run.evaluator.config.data.signal].stored.name
    return f"beside each {one}: {', '.join(classes)}"


def _first_kernel(run: CheckpointedRun) -> np.ndarray | None:
    """Returns the kernel `[*window, C, K]` of the first convolution if C is 1 or 3."""
    layers = count(run.evaluator.model, run.evaluator.dataset.input_shape).layers
    name = next((layer.name for layer in layers if layer.kind.startswith("conv")), None)
    if name is None:
        return None
    tree: Any = run.variables["params"]
    for part in name.split("/"):
        tree = tree[part]
    kernel = np.asarray(tree["kernel"])
    return kernel if kernel.ndim in (3, 4, 5) and kernel.shape[-2] in (1, 3) else None


def _confused(run: CheckpointedRun, split: str) -> list[Results]:
    names, outcomes = run.evaluator.dataset.class_names, run.outcomes(split)
    label, prediction, loss = (outcomes[n] for n in ("label", "prediction", "loss"))
    pairs, counts = np.unique(
        np.stack([label, prediction])[:, label != prediction], axis=1, return_counts=True
    )
    found = []
    for i in np.argsort(-counts, kind="stable")[:PAIRS]:
        right, wrong = pairs[:, i]
        chosen = np.flatnonzero((label == right) & (prediction == wrong))
        worst = chosen[np.argsort(-loss[chosen], kind="stable")][:EXAMPLES]
        found.append(
            {
                "right": names[right],
                "predicted": names[wrong],
                "count": int(counts[i]),
                "examples": worst.tolist(),
            }
        )
    return found


SUITE = Suite(
    about="filters, feature maps, Grad-CAM, confused classes",
    measure=draw_features,
    section=features_section,
)
