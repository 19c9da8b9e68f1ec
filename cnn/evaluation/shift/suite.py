"""The suite `shift`: shift consistency by all protocols."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from cnn.config.errors import UserError
from cnn.config.metric import Metric, share
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import ModelUnderTest, model_under_test, sample
from cnn.evaluation.shift.exhaustive import measure_all_shifts
from cnn.evaluation.shift.probe import measure_shifts
from cnn.evaluation.shift.protocols import (
    PASSES,
    Protocol,
    circular_grid,
    circular_pairs,
    crop_pairs,
    diagonal,
    fractional_grid,
    square,
)
from cnn.evaluation.shift.section import COLUMNS, NAMES, shift_section
from cnn.evaluation.shift.time import frame_protocols, on_waves, time_protocols
from cnn.evaluation.suite import ExampleCount, Progress, Results, Suite

GRIDS = ("circular_grid", "all_shifts", "fractional_grid")
PATHS = ("diagonal", "time_path")


def _metrics(protocol: str) -> Iterator[Metric]:
    """Yields the metrics of one protocol; see `scores`."""
    label = NAMES[protocol][0].lower() + NAMES[protocol][1:]
    names = ["consistency"]
    if protocol in GRIDS + PATHS:
        names += ["accuracy", "joint", "worst_case", "stable"]
    for name in names:
        short, about = COLUMNS[name]
        metric = share(f"{protocol}, {name}", f"{short.capitalize()}, {label}", short, about)
        yield replace(metric, plotted=name == "consistency")
    for name in ("flips", "deviation") if protocol in PATHS else ():
        short, about = COLUMNS[name]
        yield Metric(f"{protocol}, {name}", f"{short}, {label}", short, "", False, about)


METRICS = tuple(metric for protocol in NAMES for metric in _metrics(protocol))


def measure_shift(
    run: CheckpointedRun,
    split: str,
    progress: Progress,
    *,
    images: ExampleCount = 2000,
    exhaustive: ExampleCount = 32,
    budget: int = 2**16,
    max_shift: int = 0,
    parts: int = 4,
    passes: int = PASSES,
) -> Results:
    """Measures shift consistency by every protocol of `protocols_for` and over all circular shifts.

    Sound and video are shifted in time only.

    Args:
      run: the checkpoint.
      split: name of the split.
      progress: called after each batch.
      images: number of examples, evenly spaced over the split; 0: all.
      exhaustive: how many of these are shifted by every circular shift; 0: none.
      budget: maximum number of single-image forward passes over all shifts; lowers `exhaustive` if
        necessary.
      max_shift: largest circular shift: in pixels (0: as published, see `protocols_for`), for sound
        in milliseconds (0: 50), for video in frames (0: a quarter of the clip).
      parts: fractional shifts are multiples of 1 / parts of a pixel.
      passes: pairs of random shifts per image.

    Returns:
      {protocol: `ConsistencyTally.summary`}, including "all_shifts", and "left_out": sentences on
      what cannot be measured on this network.

    Raises:
      UserError: the images are smaller than the grid of shifts.
    """
    model = model_under_test(run, sample(run.split(split), images))
    if in_time := _IN_TIME.get(run.evaluator.config.data.signal):
        results, shifted, protocols = in_time(run, model, max_shift, passes)
        _measure(shifted, protocols, progress, results, len(model.feed.split))
        return results
    protocols, left_out = protocols_for(model, max_shift, parts, passes)
    total = len(model.feed.split)
    height, width, _ = model.image_shape
    if exhaustive and height * width > budget:
        left_out.append(
            f"All shifts: {height * width:,} per image are over the budget of {budget:,}."
        )
    exhaustive = min(exhaustive, budget // (height * width), total)
    results: Results = {"left_out": left_out}
    _measure(model, protocols, progress, results, total + exhaustive)
    batch_size = run.evaluator.config.evaluation.batch_size
    if exhaustive:
        for seen, found in measure_all_shifts(model, exhaustive, batch_size):
            results["all_shifts"] = found
            progress.show(total + seen, total + exhaustive)
            progress.keep(results)
    return results


def _measure(
    model: ModelUnderTest,
    protocols: dict[str, Protocol],
    progress: Progress,
    results: Results,
    total: int,
) -> None:
    """Adds what the protocols find to the results, and shows progress towards a total."""
    for seen, found in measure_shifts(model, protocols):
        results |= found
        progress.show(seen, total)
        progress.keep(results)


def _of_clips(
    run: CheckpointedRun, model: ModelUnderTest, max_shift: int, passes: int
) -> tuple[Results, ModelUnderTest, dict[str, Protocol]]:
    """Shifts of clips by up to `max_shift` frames; 0: a quarter of the clip."""
    frames = model.feed.split.shape[0]
    protocols = frame_protocols(frames, max_shift or frames // 4, passes)
    return {"left_out": [], "frames_per_step": 1}, model, protocols


def _of_waves(
    run: CheckpointedRun, model: ModelUnderTest, max_shift: int, passes: int
) -> tuple[Results, ModelUnderTest, dict[str, Protocol]]:
    """Shifts of waveforms by up to `max_shift` milliseconds; 0: 50."""
    rate = run.evaluator.config.data.sound.rate
    protocols = time_protocols(model.feed.split.shape[0], rate, max_shift or 50, passes)
    return {"left_out": [], "milliseconds_per_step": 1000 / rate}, on_waves(model), protocols


# Signals that are shifted along time; pictures are shifted in space.
_IN_TIME = {"sound": _of_waves, "video": _of_clips}


def protocols_for(
    model: ModelUnderTest, max_shift: int = 0, parts: int = 4, passes: int = PASSES
) -> tuple[dict[str, Protocol], list[str]]:
    """Returns the protocols for images of this size, and sentences on what is left out.

    Unless `max_shift` is set, circular shifts reach 3 pixels, as published for CIFAR-10, or 32 for
    images of at least 128 pixels, as published for ImageNet. Crops remove an eighth of the shorter
    side, as 32 of 256 pixels in the publication, or the smallest larger amount that leaves a size
    the network accepts.

    Raises:
      UserError: the images are smaller than the grid of shifts.
    """
    height, width, _ = model.image_shape
    smaller = min(height, width)
    max_shift = max_shift or (32 if smaller >= 128 else 3)
    if smaller <= 2 * max_shift:
        raise UserError(
            f"--suite=shift: images of {height}x{width} pixels are smaller than the grid of shifts "
            f"(-{max_shift} to {max_shift}); use images of at least {2 * max_shift + 1} pixels, or "
            "smaller shifts, such as --suite='shift(max_shift=1)'"
        )
    steps = np.arange(-max_shift, max_shift + 1, max(1, max_shift // 4))
    about = f"{len(steps) ** 2} circular shifts: -{max_shift} to {max_shift} in steps of "
    protocols = {
        "circular_per_batch": circular_pairs(max_shift, shared=True, passes=passes),
        "circular_per_image": circular_pairs(max_shift, shared=False, passes=passes),
        "circular_grid": circular_grid(square(steps, steps), f"{about}{steps[1] - steps[0]}"),
        "fractional_grid": fractional_grid(parts),
    }
    image = (height, width)
    cut = next(
        (c for c in range(max(smaller // 8, 2), smaller // 2 + 1) if takes_cropped(model, c)),
        None,
    )
    if cut is None:
        return protocols, ["Crops: the network does not accept smaller images."]
    return protocols | {
        "crop_per_batch": crop_pairs(image, cut, shared=True, passes=passes),
        "crop_per_image": crop_pairs(image, cut, shared=False, passes=passes),
        "diagonal": diagonal(image, cut),
    }, []


def takes_cropped(model: ModelUnderTest, cut: int) -> bool:
    """Whether the network accepts images with `cut` rows and columns fewer."""
    height, width, _ = model.image_shape
    return model.takes(height - cut, width - cut)


SUITE = Suite(
    about="consistency under shifts, by published protocols",
    measure=measure_shift,
    section=shift_section,
    signals=frozenset({"image", *_IN_TIME}),
    metrics=METRICS,
)
