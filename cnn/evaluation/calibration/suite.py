"""The suite `calibration`: errors on a split, before and after a temperature is fitted."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array

from cnn.config.errors import UserError
from cnn.data import Split, load, open_dataset
from cnn.evaluation.calibration.scores import calibration, fit_temperature
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.subject import Subject, subject_of
from cnn.evaluation.suite import Figures, Progress


def measure(run: CheckpointedRun, split: str, progress: Progress) -> Figures:
    """Measures calibration of a split; the temperature is fitted on the validation part alone.

    Returns:
      {"as_trained": `scores.calibration`, "scaled": the same at "temperature", "fitted_on": its
      number of examples}. Without a validation part, or when that is what is measured, the last
      three are None and "why" says so in a sentence.
    """
    logits, labels = collect(subject_of(run, run.split(split)), progress.show)
    figures: Figures = {"as_trained": calibration(logits, labels)}
    figures |= {"scaled": None, "temperature": None, "fitted_on": None, "why": None}
    progress.keep(figures)
    try:
        held_out = validation_part(run, split)
    except UserError as error:
        return figures | {"why": str(error)}
    temperature = fit_temperature(*collect(subject_of(run, held_out), progress.show))
    return figures | {
        "scaled": calibration(logits, labels, temperature),
        "temperature": temperature,
        "fitted_on": len(held_out),
    }


def validation_part(run: CheckpointedRun, measured: str) -> Split:
    """Returns the split to fit a temperature on.

    Raises:
      UserError: the run has none, or it is the split that is measured.
    """
    if measured == "validation":
        raise UserError(
            "--split: a temperature fitted on the validation part cannot be judged there; "
            "measure on test"
        )
    data = run.evaluator.config.data.copy_and_resolve_references()
    dataset = run.evaluator.dataset
    with data.unlocked():
        data.mean, data.std = dataset.mean, dataset.std
    held_out = open_dataset(data, splits=("validation",)).validation
    if held_out is None:
        raise UserError(
            "data.validation: the run has no validation part to fit a temperature on; "
            "train with data.validation, such as 10%"
        )
    return held_out


def collect(
    subject: Subject, show: Callable[[int, int], None] = lambda done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns float32 logits `[N, K]` and labels `[N]` of a split; they are held in memory."""
    step = _logits_step(subject)
    total = len(subject.feed.split)
    logits, labels, seen = [], [], 0
    for batch in subject.feed.batches():
        mask = np.asarray(batch["mask"]).astype(bool)
        found = jax.device_get(step(subject.variables, subject.feed.arrays, batch))
        logits.append(found[0][mask])
        labels.append(found[1][mask])
        seen += int(mask.sum())
        show(seen, total)
    return np.concatenate(logits), np.concatenate(labels)


def _logits_step(subject: Subject) -> Callable[..., tuple[Array, Array]]:
    def step(variables: Any, arrays: Any, batch: Any) -> tuple[Array, Array]:
        data = load(arrays, batch)
        return subject.logits(variables, subject.normalize(data["image"])), data["label"]

    return jax.jit(step)
