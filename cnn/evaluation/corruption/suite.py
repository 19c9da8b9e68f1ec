"""The suite `corruption`: the error under each corruption at each severity."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.corruption.benchmark import (
    CifarC,
    mean_corruption_error,
    mean_error,
    open_cifar_c,
)
from cnn.evaluation.corruption.corruptions import CORRUPTIONS, SEVERITIES, check_images, corrupt
from cnn.evaluation.corruption.parameters import table_for
from cnn.evaluation.subject import Subject, subject_of
from cnn.evaluation.suite import Figures, Progress

IMAGENET_CLASSES = 1000
# Images and labels in batches: those of a corruption (None: clean) at a severity.
Batches = Iterator[tuple[np.ndarray, np.ndarray]]


def measure(run: CheckpointedRun, split: str, progress: Progress) -> Figures:
    """Measures the error on a split under 15 corruptions at 5 severities, and without.

    The corruptions are generated (`corruptions.corrupt`), or read from `evaluation.cifar_c`, where
    CIFAR-10-C's files lie; these hold its test split, whatever the split asked for.

    Returns:
      "source" of the corruptions, "count" of examples, "errors" {corruption: error by severity},
      "clean" error (None for files, which have none), "mean_error" over all, and for 1000 classes
      "mce" against AlexNet, else None. While incomplete, over the corruptions done.

    Raises:
      UserError: the images cannot be corrupted, or files are missing.
    """
    folder = run.evaluator.config.evaluation.cifar_c
    part = run.split(split)
    subject = subject_of(run, part)
    rows = run.evaluator.config.evaluation.batch_size
    if folder:
        files = open_cifar_c(folder, subject.image_shape)
        source, count = f"the files in {folder}", len(files.labels)
        batches = lambda name, severity: _stored(files, name, severity, rows)  # noqa: E731
    else:
        check_images(subject.image_shape)
        benchmark = table_for(*subject.image_shape[:2])[0]
        source, count = f"generated, with the parameters of {benchmark}", len(part)
        batches = lambda name, severity: _generated(part, name, severity, rows)  # noqa: E731
    predict = make_predict(subject)
    clean = None if folder else error_of(predict, _clean(part, rows), rows)
    figures: Figures = {"source": source, "count": count, "clean": clean, "errors": {}}
    for done, name in enumerate(CORRUPTIONS):
        found = [error_of(predict, batches(name, s), rows) for s in SEVERITIES]
        figures["errors"][name] = found
        figures["mean_error"] = mean_error(figures["errors"])
        progress.show(done + 1, len(CORRUPTIONS))
        progress.keep(figures)
    imagenet = run.evaluator.dataset.num_classes == IMAGENET_CLASSES
    mce = mean_corruption_error(figures["errors"], "AlexNet") if imagenet else None
    return figures | {"mce": mce}


def make_predict(subject: Subject) -> Callable[[np.ndarray], np.ndarray]:
    """Returns uint8 images `[B, H, W, C]` -> classes `[B]`."""

    def predict(variables: Any, images: Any) -> Any:
        return subject.logits(variables, subject.normalize(images)).argmax(-1)

    jitted = jax.jit(predict)
    return lambda images: np.asarray(jitted(subject.variables, images))


def error_of(
    predict: Callable[[np.ndarray], np.ndarray], batches: Batches, batch_size: int
) -> float:
    """Returns the share of wrong predictions; the last batch is padded to the size of the rest."""
    wrong = count = 0
    for images, labels in batches:
        padding = [(0, batch_size - len(images))] + [(0, 0)] * (images.ndim - 1)
        predicted = predict(np.pad(images, padding))[: len(labels)]
        wrong += int((predicted != labels).sum())
        count += len(labels)
    return wrong / count


def _clean(split: Any, rows: int) -> Batches:
    for indices in _indices(len(split), rows):
        yield split.read(indices)


def _generated(split: Any, name: str, severity: int, rows: int) -> Batches:
    for indices in _indices(len(split), rows):
        images, labels = split.read(indices)
        yield corrupt(images, name, severity, indices), labels


def _stored(files: CifarC, name: str, severity: int, rows: int) -> Batches:
    images = files.images(name, severity)
    for indices in _indices(len(files.labels), rows):
        chosen = slice(indices[0], indices[-1] + 1)
        yield np.asarray(images[chosen]), files.labels[chosen]


def _indices(count: int, rows: int) -> Iterator[np.ndarray]:
    for start in range(0, count, rows):
        yield np.arange(start, min(start + rows, count))
