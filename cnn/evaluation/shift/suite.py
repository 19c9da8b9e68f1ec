"""The suite `shift`: all protocols on one checkpoint, and their part of the page."""

from collections.abc import Iterator

import numpy as np

from cnn.config.errors import UserError
from cnn.config.metric import Metric, share
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import ModelUnderTest, sample, subject_of
from cnn.evaluation.shift.exhaustive import measure_all_shifts
from cnn.evaluation.shift.measure import measure_shifts
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
from cnn.evaluation.shift.section import COLUMNS, NAMES
from cnn.evaluation.shift.time import frame_protocols, on_waves, time_protocols
from cnn.evaluation.suite import Count, Figures, Progress

GRIDS = ("circular_grid", "all_shifts", "fractional_grid")
PATHS = ("diagonal", "time_path")


def _metrics(protocol: str) -> Iterator[Metric]:
    """Yields the metrics of one protocol, see `scores`."""
    said = NAMES[protocol][0].lower() + NAMES[protocol][1:]
    names = ["consistency"]
    if protocol in GRIDS + PATHS:
        names += ["accuracy", "joint", "worst_case", "stable"]
    for name in names:
        short, about = COLUMNS[name]
        yield share(f"{protocol}, {name}", f"{short.capitalize()}, {said}", short, about)
    for name in ("flips", "deviation") if protocol in PATHS else ():
        short, about = COLUMNS[name]
        yield Metric(f"{protocol}, {name}", f"{short}, {said}", short, "", False, about)


METRICS = tuple(metric for protocol in NAMES for metric in _metrics(protocol))


def measure(
    run: CheckpointedRun,
    split: str,
    progress: Progress,
    *,
    images: Count = 2000,
    exhaustive: Count = 32,
    budget: int = 2**16,
    reach: int = 0,
    parts: int = 4,
    passes: int = PASSES,
) -> Figures:
    """Measures shift consistency by every protocol of `protocols_for`, and over all shifts.

    Args:
      run: the checkpoint.
      split: its name.
      progress: told after each batch.
      images: examples, spread evenly over the split; 0: all.
      exhaustive: of these, how many are moved by every circular shift; 0: none.
      budget: forward passes of single images over all shifts, which lowers `exhaustive` if need be:
        more would take longer than the rest.
      reach: of circular shifts, in pixels; 0: as published, see `protocols_for`. Of sound, which
        is moved in time alone: in milliseconds; 0: 50. Of video likewise, in frames; 0: a quarter.
      parts: of a pixel, of fractional shifts.
      passes: pairs of random shifts an image.

    Returns:
      {protocol: `Tally.figures`}; "all_shifts" over as many examples as their size allows, and
      "left_out": what cannot be measured on this network, with the reason.

    Raises:
      UserError: the images are smaller than the grid of shifts.
    """
    subject = subject_of(run, sample(run.split(split), images))
    if run.evaluator.config.data.signal == "sound":
        return _measure_in_time(run, subject, progress, reach or 50, passes)
    if run.evaluator.config.data.signal == "video":
        return _measure_frames(subject, progress, reach, passes)
    protocols, left_out = protocols_for(subject, reach, parts, passes)
    total = len(subject.feed.split)
    height, width, _ = subject.image_shape
    if exhaustive and height * width > budget:
        left_out.append(
            f"All shifts: {height * width:,} an image are over the budget of {budget:,}."
        )
    exhaustive = min(exhaustive, budget // (height * width), total)
    figures: Figures = {"left_out": left_out}
    for seen, found in measure_shifts(subject, protocols):
        figures |= found
        progress.show(seen, total + exhaustive)
        progress.keep(figures)
    batch_size = run.evaluator.config.evaluation.batch_size
    if exhaustive:
        for seen, found in measure_all_shifts(subject, exhaustive, batch_size):
            figures["all_shifts"] = found
            progress.show(total + seen, total + exhaustive)
            progress.keep(figures)
    return figures


def _measure_frames(
    subject: ModelUnderTest, progress: Progress, reach: int, passes: int
) -> Figures:
    """Measures shifts of clips by up to `reach` frames; 0: by a quarter of them."""
    frames = subject.feed.split.shape[0]
    figures: Figures = {"left_out": [], "frames_per_step": 1}
    protocols = frame_protocols(frames, reach or frames // 4, passes)
    for seen, found in measure_shifts(subject, protocols):
        figures |= found
        progress.show(seen, len(subject.feed.split))
        progress.keep(figures)
    return figures


def _measure_in_time(
    run: CheckpointedRun, subject: ModelUnderTest, progress: Progress, reach: int, passes: int
) -> Figures:
    """Measures shifts of waves by up to `reach` milliseconds."""
    rate = run.evaluator.config.data.sound.rate
    samples = subject.feed.split.shape[0]
    figures: Figures = {"left_out": [], "milliseconds_per_step": 1000 / rate}
    protocols = time_protocols(samples, rate, reach, passes)
    for seen, found in measure_shifts(on_waves(subject), protocols):
        figures |= found
        progress.show(seen, len(subject.feed.split))
        progress.keep(figures)
    return figures


def protocols_for(
    subject: ModelUnderTest, reach: int = 0, parts: int = 4, passes: int = PASSES
) -> tuple[dict[str, Protocol], list[str]]:
    """Returns the protocols for images of this size, and what is left out and why.

    Circular shifts reach 3 pixels, as published for CIFAR-10, and 32 for images from 128 pixels up,
    as published for ImageNet, or as far as `reach` says; crops leave out an eighth of the shorter
    side, as 32 of 256 are, or the least beyond it that leaves a size the network takes.

    Raises:
      UserError: the images are smaller than the grid of shifts.
    """
    height, width, _ = subject.image_shape
    smaller = min(height, width)
    reach = reach or (32 if smaller >= 128 else 3)
    if smaller <= 2 * reach:
        raise UserError(
            f"--suite=shift: images of {height}x{width} pixels are smaller than the grid of shifts "
            f"(-{reach} to {reach}); use images of at least {2 * reach + 1} pixels, or a smaller "
            "reach, such as --suite='shift(reach=1)'"
        )
    steps = np.arange(-reach, reach + 1, max(1, reach // 4))
    about = f"{len(steps) ** 2} circular shifts: -{reach} to {reach} in steps of "
    protocols = {
        "circular_per_batch": circular_pairs(reach, shared=True, passes=passes),
        "circular_per_image": circular_pairs(reach, shared=False, passes=passes),
        "circular_grid": circular_grid(square(steps, steps), f"{about}{steps[1] - steps[0]}"),
        "fractional_grid": fractional_grid(parts),
    }
    image = (height, width)
    cut = next(
        (c for c in range(max(smaller // 8, 2), smaller // 2 + 1) if takes_cropped(subject, c)),
        None,
    )
    if cut is None:
        return protocols, ["Crops: the network takes no images that are smaller."]
    return protocols | {
        "crop_per_batch": crop_pairs(image, cut, shared=True, passes=passes),
        "crop_per_image": crop_pairs(image, cut, shared=False, passes=passes),
        "diagonal": diagonal(image, cut),
    }, []


def takes_cropped(subject: ModelUnderTest, cut: int) -> bool:
    """Whether the network accepts images that lack `cut` rows and columns."""
    height, width, _ = subject.image_shape
    return subject.takes(height - cut, width - cut)
