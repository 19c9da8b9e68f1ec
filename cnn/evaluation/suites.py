"""The suites by name. To add one: a file with `measure` and `section`, and a line here."""

from cnn.config.errors import UserError
from cnn.config.registry import Registry
from cnn.evaluation import (
    accuracy,
    calibration,
    corruption,
    cost,
    equivariance,
    features,
    receptive,
    shift,
)
from cnn.evaluation.suite import Suite

SUITES: Registry[Suite] = Registry("suite")

SUITES.add(
    "accuracy",
    Suite("loss, accuracy, per class, confusion", accuracy.measure, accuracy.section),
)
SUITES.add(
    "cost",
    Suite("multiply-accumulates, parameters, memory, speed", cost.measure, cost.section),
)
SUITES.add(
    "shift",
    Suite("consistency under shifts, by published protocols", shift.measure, shift.section),
)
SUITES.add(
    "equivariance",
    Suite(
        "error of each layer's map of a shifted image", equivariance.measure, equivariance.section
    ),
)
SUITES.add(
    "calibration",
    Suite("ECE, NLL, Brier, temperature", calibration.measure, calibration.section),
)
SUITES.add(
    "corruption",
    Suite("errors under 15 corruptions", corruption.measure, corruption.section),
)
SUITES.add(
    "receptive_field",
    Suite("theoretical and effective receptive fields", receptive.measure, receptive.section),
)
SUITES.add(
    "features",
    Suite("filters, maps, Grad-CAM, confused classes", features.measure, features.section),
)


def chosen(text: str) -> tuple[str, ...]:
    """Returns the names in "a,b", or all of them for "all", each once and in the order given.

    Raises:
      UserError: there is no such suite, or none was named.
    """
    if text == "all":
        return tuple(SUITES)
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f"--suite: names none; allowed: all, {', '.join(SUITES)}")
    for name in names:
        SUITES.look_up(name, "--suite")
    return tuple(dict.fromkeys(names))
