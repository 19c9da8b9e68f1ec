"""The suite `shift`: all protocols on one checkpoint, and their part of the page."""

import numpy as np

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.shift.exhaustive import measure_all_shifts
from cnn.evaluation.shift.measure import measure_shifts
from cnn.evaluation.shift.protocols import (
    Protocol,
    circular_grid,
    circular_pairs,
    crop_pairs,
    diagonal,
    fractional_grid,
    square,
)
from cnn.evaluation.subject import Subject, subject_of
from cnn.evaluation.suite import Figures, Progress

PARTS = 4  # of a pixel, for fractional shifts
EXHAUSTIVE_EXAMPLES = 64
EXHAUSTIVE_PASSES = 2**17  # forward passes of single images: more would take longer than the rest


def measure(run: CheckpointedRun, split: str, progress: Progress) -> Figures:
    """Measures shift consistency by every protocol of `protocols_for`, and over all shifts.

    Returns:
      {protocol: `Tally.figures`}; "all_shifts" over as many examples as their size allows, and
      "left_out": what cannot be measured on this network, with the reason.

    Raises:
      UserError: the images are smaller than the grid of shifts.
    """
    subject = subject_of(run, run.split(split))
    protocols, left_out = protocols_for(subject)
    total = len(subject.feed.split)
    height, width, _ = subject.image_shape
    exhaustive = min(EXHAUSTIVE_EXAMPLES, EXHAUSTIVE_PASSES // (height * width), total)
    if not exhaustive:
        left_out.append(f"All shifts: {height * width:,} an image are too many.")
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


def protocols_for(subject: Subject) -> tuple[dict[str, Protocol], list[str]]:
    """Returns the protocols for images of this size, and what is left out and why.

    Circular shifts reach 3 pixels, as published for CIFAR-10, and 32 for images from 128 pixels up,
    as published for ImageNet; crops leave out an eighth of the shorter side, as 32 of 256 are, or
    the least beyond it that leaves a size the network takes.

    Raises:
      UserError: the images are smaller than the grid of shifts.
    """
    height, width, _ = subject.image_shape
    smaller = min(height, width)
    reach = 32 if smaller >= 128 else 3
    if smaller <= 2 * reach:
        raise UserError(
            f"--suite=shift: images of {height}x{width} pixels are smaller than the grid of shifts "
            f"(-{reach} to {reach}); use images of at least {2 * reach + 1} pixels"
        )
    steps = np.arange(-reach, reach + 1, max(1, reach // 4))
    about = f"{len(steps) ** 2} circular shifts: -{reach} to {reach} in steps of "
    protocols = {
        "circular_per_batch": circular_pairs(reach, shared=True),
        "circular_per_image": circular_pairs(reach, shared=False),
        "circular_grid": circular_grid(square(steps, steps), f"{about}{steps[1] - steps[0]}"),
        "fractional_grid": fractional_grid(PARTS),
    }
    image = (height, width)
    cut = next(
        (c for c in range(max(smaller // 8, 2), smaller // 2 + 1) if takes_cropped(subject, c)),
        None,
    )
    if cut is None:
        return protocols, ["Crops: the network takes no images that are smaller."]
    return protocols | {
        "crop_per_batch": crop_pairs(image, cut, shared=True),
        "crop_per_image": crop_pairs(image, cut, shared=False),
        "diagonal": diagonal(image, cut),
    }, []


def takes_cropped(subject: Subject, cut: int) -> bool:
    """Whether the network accepts images that lack `cut` rows and columns."""
    height, width, _ = subject.image_shape
    return subject.takes(height - cut, width - cut)
