"""The suite `calibration`: calibration before and after temperature scaling."""

from collections.abc import Callable, Iterator
from tempfile import TemporaryFile

import jax
import numpy as np

from cnn.config.errors import UserError
from cnn.config.metric import Metric, share
from cnn.data import Split
from cnn.evaluation.calibration.scores import CalibrationTally, check_finite, fit_temperature
from cnn.evaluation.calibration.section import COLUMNS, calibration_section
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import ModelUnderTest, model_under_test
from cnn.evaluation.suite import Progress, Results, Suite


def _metrics(where: str, suffix: str) -> tuple[Metric, ...]:
    width, mass, distance = (COLUMNS[name][1] for name in ("ece", "ece_equal_mass", "brier"))
    return (
        share(f"{where}, ece", f"ECE{suffix}", "ECE", width, False),
        share(f"{where}, ece_equal_mass", f"ECE, equal mass{suffix}", "ECE", mass, False),
        Metric(
            f"{where}, nll", f"NLL{suffix}", "NLL", "nats", False, "mean negative log-likelihood"
        ),
        Metric(f"{where}, brier", f"Brier score{suffix}", "Brier", "", False, distance),
    )


METRICS = (
    *_metrics("as_trained", ""),
    *_metrics("scaled", ", temperature scaled"),
    Metric("temperature", "Temperature", "temperature", "", None, "minimises the validation NLL"),
)


def measure_calibration(run: CheckpointedRun, split: str, progress: Progress) -> Results:
    """Measures calibration before and after temperature scaling.

    The temperature is fitted on the validation split only. Memory use is one batch and 18 bytes per
    example; while the temperature is fitted, the validation logits are in a temporary file of 4
    bytes per class and example.

    Returns:
      {"as_trained": `CalibrationTally.summary`, "scaled": the same at "temperature", "fitted_on":
      number of examples that the temperature is fitted on, "why"}. Without a validation split, or
      on the validation split itself, the middle three are None and "why" is a sentence with the
      reason; "why" also says if imported weights may have been trained on the validation examples.
    """
    results: Results = {"scaled": None, "temperature": None, "fitted_on": None, "why": None}
    part = run.split(split)
    tallies = {"as_trained": CalibrationTally()}
    try:
        held_out = validation_part(run, split)
    except UserError as error:
        results["why"] = str(error)
        total, before = len(part), 0
    else:
        total, before = len(held_out) + len(part), len(held_out)
        temperature = _temperature(run, held_out, lambda done: progress.show(done, total))
        results |= {"temperature": temperature, "fitted_on": len(held_out)}
        if run.folder.weights_file.is_file() and not run.evaluator.config.data.validation_split:
            results["why"] = (
                "the validation split is carved out of train, on which imported weights may have "
                "been trained, so the temperature may be too low"
            )
        tallies["scaled"] = CalibrationTally(temperature)
    for seen, logits, labels in logits_of(_with_views(run, part)):
        for tally in tallies.values():
            tally.add(logits, labels)
        progress.show(before + seen, total)
        progress.keep(results | {name: tally.summary() for name, tally in tallies.items()})
    return results | {name: tally.summary() for name, tally in tallies.items()}


def _temperature(run: CheckpointedRun, held_out: Split, show: Callable[[int], None]) -> float:
    classes, count = run.evaluator.dataset.num_classes, len(held_out)
    with TemporaryFile() as file:
        stored = np.memmap(file, np.float32, "w+", shape=(count, classes))
        labels = np.empty(count, np.int32)
        for seen, logits, own in logits_of(_with_views(run, held_out)):
            stored[seen - len(own) : seen], labels[seen - len(own) : seen] = logits, own
            show(seen)
        return fit_temperature(stored, labels)


def _with_views(run: CheckpointedRun, part: Split) -> ModelUnderTest:
    return model_under_test(run, part, run.evaluator.config.evaluation.views)


def validation_part(run: CheckpointedRun, measured: str) -> Split:
    """Returns the validation split, to fit a temperature on.

    Raises:
      UserError: the run has none, or it is the split that is evaluated.
    """
    if measured == "validation":
        raise UserError(
            "--split: a temperature fitted on the validation split cannot be evaluated there; "
            "use --split=test"
        )
    held_out = run.open_split("validation")
    if held_out is None:
        raise UserError(
            "data.validation: the run has no validation split to fit a temperature on; "
            "train with data.validation, such as 10%"
        )
    return held_out


def logits_of(model: ModelUnderTest) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields the number of examples seen, float32 logits `[B, K]` and labels `[B]` per batch.

    Raises:
      UserError: a logit is not finite.
    """
    step = jax.jit(model.forward)
    seen = 0
    for batch in model.feed.batches():
        mask = np.asarray(batch["mask"]).astype(bool)
        logits, labels = jax.device_get(step(model.variables, model.feed.arrays, batch))
        seen += int(mask.sum())
        check_finite(logits[mask])
        yield seen, logits[mask], labels[mask]


SUITE = Suite(
    about="ECE, NLL and Brier score, before and after temperature scaling",
    measure=measure_calibration,
    section=calibration_section,
    metrics=METRICS,
)
