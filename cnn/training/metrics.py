"""Training metrics: float64 sums over a window of steps, fetched late and checked to be finite."""

import math
from typing import Any

import jax
import numpy as np

from cnn.config.errors import UserError

# Steps the host may run ahead of the device: enough to hide the dispatch, few enough to bound the
# memory of batches in flight.
STEPS_IN_FLIGHT = 2


class NonFiniteLossError(UserError):
    """The loss of a step is NaN or infinite."""


class RunningMetrics:
    """Sums over the steps since the last report.

    Steps add device scalars, which are fetched only on demand, so that the device never waits
    for the host. The totals are part of the checkpoint, so that a resumed run reports the same
    metrics as an uninterrupted one.

    Args:
      totals: of a checkpoint.
      row: index of this run in arrays that several runs share; () for scalars.
    """

    def __init__(self, totals: dict[str, float] | None = None, row: Any = ()):
        self._row = row
        self._totals = dict(totals or {})
        self._pending: list[tuple[int, dict[str, jax.Array]]] = []

    def add(self, step: int, sums: dict[str, jax.Array]) -> None:
        """Takes the sums of one step, and waits for the step before the ones still in flight."""
        self._pending.append((step, sums))
        if len(self._pending) > STEPS_IN_FLIGHT:
            jax.block_until_ready(self._pending[-1 - STEPS_IN_FLIGHT][1])

    def totals(self) -> dict[str, float]:
        """Returns the sums of all steps handed in.

        Raises:
          NonFiniteLossError: names the first step whose loss is not finite.
        """
        for step, sums in jax.device_get(self._pending):
            own = {name: float(value[self._row]) for name, value in sums.items()}
            if not math.isfinite(own["loss"]):
                raise NonFiniteLossError(f"the loss is {own['loss']} at step {step}")
            for name, value in own.items():
                self._totals[name] = self._totals.get(name, 0.0) + value
        self._pending = []
        return dict(self._totals)

    def take(self) -> dict[str, float]:
        """Returns {"loss", "accuracy"} as means over the window's examples, and empties it."""
        totals = self.totals()
        self._totals = {}
        return {
            "loss": totals["loss"] / totals["count"],
            "accuracy": totals["correct"] / totals["count"],
        }


def summarize(outcomes: dict[str, np.ndarray], class_names: tuple[str, ...]) -> dict[str, Any]:
    """Turns outcomes of every example into metrics, in float64 and in the order of the examples.

    Args:
      outcomes: `loss`, `prediction`, `rank` and `label`, arrays [N].
      class_names: the K names.

    Returns:
      count, loss (mean, nats), accuracy, top5_accuracy (with more than five classes),
      accuracy_per_class (None for a class without examples) and confusion [K, K] (rows: the right
      class, columns: the predicted one).
    """
    label, prediction = outcomes["label"], outcomes["prediction"]
    classes = len(class_names)
    confusion = np.bincount(label * classes + prediction, minlength=classes**2)
    confusion = confusion.reshape(classes, classes)
    totals = confusion.sum(axis=1)
    per_class = {
        name: float(hits / total) if total else None
        for name, hits, total in zip(class_names, confusion.diagonal(), totals, strict=True)
    }
    metrics = {
        "count": int(label.size),
        "loss": float(outcomes["loss"].astype(np.float64).mean()),
        "accuracy": float((prediction == label).mean()),
    }
    if classes > 5:
        metrics["top5_accuracy"] = float((outcomes["rank"] < 5).mean())
    return metrics | {"accuracy_per_class": per_class, "confusion": confusion.tolist()}
