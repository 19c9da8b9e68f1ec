"""Metrics: unit, direction and display name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnn.config.registry import Registry


@dataclass(frozen=True)
class Metric:
    """A scalar by which networks can be compared.

    Attributes:
      name: where it lies in what was measured, such as "accuracy", or "circular_grid, consistency"
        in {"circular_grid": {"consistency": 0.9}}; a study's `metric` is written so.
      label: for a heading, such as "Consistency, circular grid".
      short: for the head of a column, such as "consistency".
      unit: of the values as shown: "%", "nats", "ms", "pixels"; "" for plain numbers.
      higher_is_better: direction; None: neither is better.
      about: one line on what it is and where it is from.
      scale: times a stored value gives the value in `unit`; a share is stored as 0.91 and shown as
        91 %, a time is stored in seconds and shown in ms.
      plotted: whether reports of studies plot their own metric against it.
    """

    name: str
    label: str
    short: str
    unit: str = ""
    higher_is_better: bool | None = True
    about: str = ""
    scale: float = 1.0
    plotted: bool = False

    @property
    def difference_unit(self) -> str:
        """Unit of a difference of two values: of percentages, percentage points."""
        return "pp" if self.unit == "%" else self.unit

    def find(self, measured: Mapping[str, Any]) -> float | None:
        """Returns the value within what was measured, or None where it was not."""
        found: Any = measured
        for part in self.name.split(", "):
            if not isinstance(found, Mapping):
                return None
            found = found.get(part)
        return None if found is None or isinstance(found, Mapping) else float(found)


def share(
    name: str, label: str, short: str, about: str, higher_is_better: bool | None = True
) -> Metric:
    """Returns the metric of a share, stored within [0, 1] and shown in percent."""
    return Metric(name, label, short, "%", higher_is_better, about, scale=100.0)


METRICS: Registry[Metric] = Registry("metric")


def declare(*metrics: Metric) -> None:
    """Adds metrics to `METRICS`; one that several suites measure is declared by each.

    Raises:
      ValueError: another metric has the name.
    """
    for metric in metrics:
        if METRICS.get(metric.name) != metric:
            METRICS.add(metric.name, metric)


# What training measures on its validation split and, at its end, on the test split.
ACCURACY = share("accuracy", "Accuracy", "accuracy", "share of examples whose class is predicted")
TOP5_ACCURACY = share(
    "top5_accuracy",
    "Top-5 accuracy",
    "top-5",
    "share of examples whose class is among the five most probable; with more than five classes",
)
LOSS = Metric("loss", "Loss", "loss", "nats", False, "mean cross-entropy, without label smoothing")
TRAINING = (ACCURACY, TOP5_ACCURACY, LOSS)
declare(*TRAINING)
