"""The suite `corruption`: the error per corruption and severity."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from cnn.config.errors import UserError
from cnn.config.metric import share
from cnn.data import Split
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.corruption.benchmark import (
    CifarC,
    mean_corruption_error,
    mean_error,
    open_cifar_c,
)
from cnn.evaluation.corruption.corruptions import (
    CORRUPTIONS,
    FILED_QUALITY,
    SEVERITIES,
    as_filed,
    check_images,
    corrupt,
)
from cnn.evaluation.corruption.parameters import table_for
from cnn.evaluation.corruption.section import corruption_section
from cnn.evaluation.model_under_test import ModelUnderTest, model_under_test, places
from cnn.evaluation.suite import ExampleCount, Progress, Results, Suite

IMAGENET_CLASSES = 1000
METRICS = (
    share("clean", "Error, clean", "clean error", "without a corruption", False),
    share(
        "mean_error",
        "Mean error under corruptions",
        "mean error",
        "over 15 corruptions and all severities (Hendrycks & Dietterich, ICLR 2019)",
        False,
    ),
    share("mce", "mCE", "mCE", "mean corruption error, relative to AlexNet; 1000 classes", False),
)
# Batches of images and labels.
Batches = Iterator[tuple[np.ndarray, np.ndarray]]


def measure_corruption(
    run: CheckpointedRun,
    split: str,
    progress: Progress,
    *,
    images: ExampleCount = 2000,
    severities: tuple[int, ...] = SEVERITIES,
    jpeg: bool = True,
) -> Results:
    """Measures the error on clean images and under 15 corruptions at 5 severities.

    Corruptions are generated (`corruptions.corrupt`), or read from CIFAR-10-C's files in
    `evaluation.cifar_c`, which contain its test split whichever split is requested.

    Args:
      run: the checkpoint.
      split: name of the split.
      progress: called after each corruption and severity.
      images: number of images to corrupt, evenly spaced over the split; 0: all. Files are always
        used in full.
      severities: some of 1 to 5.
      jpeg: whether images with ImageNet-C's parameters are compressed as JPEG, like its files.

    Returns:
      {"source": of the corruptions, "count": number of examples, "severities", "errors":
      {corruption: error per severity}, "clean": error without corruption (None for files),
      "mean_error": over all corruptions and severities, "mce": relative to AlexNet, None unless
      there are 1000 classes and all severities}. Partial results cover the corruptions done.

    Raises:
      UserError: the images cannot be corrupted, or files are missing.
    """
    severities = check_severities(severities)
    model = model_under_test(run, run.split(split))
    source = _source(run, model, images, jpeg)
    predict = make_predict(model)
    rows = run.evaluator.config.evaluation.batch_size
    clean = error_of(predict, source.clean(rows), rows) if source.clean else None
    results: Results = {"source": source.about, "count": source.count, "clean": clean}
    results |= {"severities": list(severities), "errors": {}}
    total = len(CORRUPTIONS) * len(severities)
    for name in CORRUPTIONS:
        found = results["errors"].setdefault(name, [])
        for severity in severities:
            found.append(error_of(predict, source.corrupted(name, severity, rows), rows))
            done = (len(results["errors"]) - 1) * len(severities) + len(found)
            progress.show(done, total)
        results["mean_error"] = mean_error(results["errors"])
        progress.keep(results)
    comparable = run.evaluator.dataset.num_classes == IMAGENET_CLASSES and severities == SEVERITIES
    mce = mean_corruption_error(results["errors"], "AlexNet") if comparable else None
    return results | {"mce": mce}


def check_severities(severities: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the distinct severities in order.

    Raises:
      UserError: there are none, or one is not in 1 to 5.
    """
    if not severities or not set(severities) <= set(SEVERITIES):
        raise UserError(
            f"--suite=corruption: severities={severities!r} is not a subset of 1 to 5; "
            "use e.g. severities=(1, 3, 5)"
        )
    return tuple(sorted(set(severities)))


@dataclass(frozen=True)
class CorruptedImages:
    """A source of corrupted images.

    Attributes:
      about: description for the page.
      count: number of examples.
      corrupted: (corruption, severity, batch size) -> batches.
      clean: batch size -> batches of clean images; None: there are none.
    """

    about: str
    count: int
    corrupted: Callable[[str, int, int], Batches]
    clean: Callable[[int], Batches] | None = None


def _source(
    run: CheckpointedRun, model: ModelUnderTest, images: int, jpeg: bool
) -> CorruptedImages:
    if folder := run.evaluator.config.evaluation.cifar_c:
        files = open_cifar_c(folder, model.image_shape)
        return CorruptedImages(f"the files in {folder}", len(files.labels), partial(_stored, files))
    check_images(model.image_shape)
    part = model.feed.split
    benchmark = table_for(*model.image_shape[:2])[0]
    about = f"generated, with the parameters of {benchmark}"
    filed = jpeg and benchmark == "ImageNet-C"
    about += f", saved as JPEG of quality {FILED_QUALITY}" if filed else ""
    chosen = places(part, images)
    generated = partial(_generated, part, chosen, filed)
    return CorruptedImages(about, len(chosen), generated, partial(_clean, part, chosen))


def make_predict(model: ModelUnderTest) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from uint8 images `[B, H, W, C]` to predicted classes `[B]`."""

    def predict(variables: Any, images: Any) -> Any:
        return model.logits(variables, model.normalize(images)).argmax(-1)

    jitted = jax.jit(predict)
    return lambda images: np.asarray(jitted(model.variables, images))


def error_of(
    predict: Callable[[np.ndarray], np.ndarray], batches: Batches, batch_size: int
) -> float:
    """Returns the error rate; the last batch is padded to the batch size."""
    wrong = count = 0
    for images, labels in batches:
        padding = [(0, batch_size - len(images))] + [(0, 0)] * (images.ndim - 1)
        predicted = predict(np.pad(images, padding))[: len(labels)]
        wrong += int((predicted != labels).sum())
        count += len(labels)
    return wrong / count


def _clean(split: Split, chosen: np.ndarray, rows: int) -> Batches:
    for indices in _blocks(chosen, rows):
        yield split.read(indices)


def _generated(
    split: Split, chosen: np.ndarray, filed: bool, name: str, severity: int, rows: int
) -> Batches:
    for indices in _blocks(chosen, rows):
        images, labels = split.read(indices)
        corrupted = corrupt(images, name, severity, indices)
        yield as_filed(corrupted) if filed else corrupted, labels


def _stored(files: CifarC, name: str, severity: int, rows: int) -> Batches:
    images = files.images(name, severity)
    for indices in _blocks(np.arange(len(files.labels)), rows):
        chosen = slice(indices[0], indices[-1] + 1)
        yield np.asarray(images[chosen]), files.labels[chosen]


def _blocks(indices: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    for start in range(0, len(indices), rows):
        yield indices[start : start + rows]


SUITE = Suite(
    about="error under 15 corruptions",
    measure=measure_corruption,
    section=corruption_section,
    signals=frozenset({"image"}),
    metrics=METRICS,
)
