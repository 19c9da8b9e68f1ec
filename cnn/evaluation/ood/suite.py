"""The suite `ood`: out-of-distribution detection against noise and other data."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cnn.config.errors import UserError
from cnn.config.metric import Metric, share
from cnn.data import Split, open_dataset
from cnn.data.split import ArraySplit
from cnn.evaluation.calibration.suite import logits_of
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import model_under_test, sample
from cnn.evaluation.ood.scores import SCORES, auroc, false_positive_rate
from cnn.evaluation.ood.section import NAMES, SHORT, ood_section
from cnn.evaluation.suite import ExampleCount, Progress, Results, Suite

SEED = 0


def measure_ood(
    run: CheckpointedRun,
    split: str,
    progress: Progress,
    *,
    images: ExampleCount = 2000,
    path: str = "",
) -> Results:
    """Measures how well two scores separate a split from noise and from other data.

    The noise is that of ODIN (Liang, Li & Srikant, ICLR 2018): Gaussian pixels of mean 0.5 and
    standard deviation 1, clipped to [0, 1], and uniform pixels; as many images as from the split.

    Args:
      run: the checkpoint.
      split: name of the split.
      progress: called after each batch.
      images: number of examples per set, evenly spaced over it; 0: all.
      path: other data, class folders or an `.npz` as in `data.path`; labels are not read.

    Returns:
      {"count", "path", and for each set "gaussian", "uniform" and "given" and each score "msp" and
      "energy" {"auroc", "fpr95"}}; see `scores`.

    Raises:
      UserError: the other data does not exist or has another image size.
    """
    known = sample(run.split(split), images)
    given = {"given": sample(_open(run, path), images)} if path else {}
    sets = dict(_noises(known)) | given
    total = len(known) + sum(map(len, sets.values()))
    done = 0

    def logits(part: Split) -> np.ndarray:
        nonlocal done
        found = []
        for _, rows, _ in logits_of(model_under_test(run, part)):
            found.append(rows)
            done += len(rows)
            progress.show(done, total)
        return np.concatenate(found)

    own = logits(known)
    results: Results = {"count": len(known), "path": path}
    for name, part in sets.items():
        other = logits(part)
        results[name] = {
            score: {
                "auroc": auroc(function(own), function(other)),
                "fpr95": false_positive_rate(function(own), function(other)),
            }
            for score, function in SCORES.items()
        }
        progress.keep(results)
    return results


def _noises(known: Split) -> Iterator[tuple[str, Split]]:
    rng = np.random.default_rng(SEED)
    shape = (len(known), *known.shape)
    for name, values in (
        ("gaussian", rng.normal(0.5, 1.0, shape)),
        ("uniform", rng.uniform(0.0, 1.0, shape)),
    ):
        pixels = np.round(255 * values.clip(0, 1)).astype(np.uint8)
        yield name, ArraySplit(pixels, np.zeros(len(known), int), known.class_names, name)


def _open(run: CheckpointedRun, path: str) -> Split:
    if not Path(path).exists():
        raise UserError(f"--suite=ood: path={path!r}: no such folder or file")
    height, width, channels = run.evaluator.dataset.input_shape
    data = run.data_section()
    with data.unlocked():
        folder = Path(path).is_dir()
        data.update(source="folder" if folder else "npz", path=path, channels=channels)
        data.test_split = "." if folder else "test"
        data.image_size = height if folder else 0
    opened = open_dataset(data, splits=("test",)).test
    if opened.shape != run.evaluator.dataset.signal.example.shape or height != width:
        raise UserError(
            f"--suite=ood: path={path!r}: images are {'x'.join(map(str, opened.shape))}, and the "
            f"network takes {height}x{width}x{channels}; give images of that size"
        )
    return opened


def _metrics() -> Iterator[Metric]:
    for where, label in NAMES.items():
        for score, short in SHORT.items():
            yield share(
                f"{where}, {score}, auroc",
                f"AUROC of {short} against {label}",
                "AUROC",
                "probability that an image of the split scores above one of the other set",
            )
            yield share(
                f"{where}, {score}, fpr95",
                f"FPR95 of {short} against {label}",
                "FPR95",
                "false positive rate on the other set at 95 % true positive rate",
                higher_is_better=False,
            )


SUITE = Suite(
    about="out-of-distribution detection: AUROC and FPR95 of probability and energy",
    measure=measure_ood,
    section=ood_section,
    signals=frozenset({"image"}),
    metrics=tuple(_metrics()),
)
