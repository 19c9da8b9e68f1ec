"""The suites by name. To add one: a file with `measure`, `section` and metrics, and a line here."""

from cnn.config.call import split_calls
from cnn.config.errors import UserError
from cnn.config.metric import declare
from cnn.config.registry import Registry
from cnn.evaluation import accuracy, calibration, corruption, cost, shift
from cnn.evaluation.equivariance import suite as equivariance
from cnn.evaluation.features import suite as features
from cnn.evaluation.receptive_field import suite as receptive
from cnn.evaluation.suite import Asked, Suite

SUITES: Registry[Suite] = Registry("suite")


def add_suite(name: str, suite: Suite) -> None:
    """Adds a suite, and the metrics that it measures, to the registries."""
    declare(*suite.metrics)
    SUITES.add(name, suite)


add_suite(
    "accuracy",
    Suite(
        "loss, accuracy, per class, confusion",
        accuracy.measure,
        accuracy.section,
        metrics=accuracy.METRICS,
    ),
)
add_suite(
    "cost",
    Suite(
        "multiply-accumulates, parameters, memory, speed",
        cost.measure,
        cost.section,
        metrics=cost.METRICS,
    ),
)
add_suite(
    "shift",
    Suite(
        "consistency under shifts, by published protocols",
        shift.measure,
        shift.section,
        metrics=shift.METRICS,
    ),
)
add_suite(
    "equivariance",
    Suite(
        "error of each layer's map of a shifted image",
        equivariance.measure,
        equivariance.section,
        signals=frozenset({"image"}),
    ),
)
add_suite(
    "calibration",
    Suite(
        "ECE, NLL, Brier, temperature",
        calibration.measure,
        calibration.section,
        metrics=calibration.METRICS,
    ),
)
add_suite(
    "corruption",
    Suite(
        "errors under 15 corruptions",
        corruption.measure,
        corruption.section,
        signals=frozenset({"image"}),
        metrics=corruption.METRICS,
    ),
)
add_suite(
    "receptive_field",
    Suite(
        "theoretical and effective receptive fields",
        receptive.measure,
        receptive.section,
        metrics=receptive.METRICS,
    ),
)
add_suite(
    "features",
    Suite("filters, maps, Grad-CAM, confused classes", features.measure, features.section),
)


def chosen(text: str, field: str = "--suite") -> tuple[Asked, ...]:
    """Reads "a,b(option=value)"; "all" stands for every suite, and what comes later wins.

    So "all,shift(images=500)" is every suite, one of them on fewer images.

    Args:
      text: what to measure.
      field: that messages name.

    Raises:
      UserError: there is no such suite or option, or no suite was named.
    """
    found: dict[str, Asked] = {}
    for part in split_calls(text):
        if part == "all":
            found |= {name: Asked(name) for name in SUITES}
            continue
        name, options = SUITES.parse(part, field)
        found[name] = Asked(name, options)
    if not found:
        raise UserError(f"{field}: names none; allowed: all, {', '.join(SUITES)}")
    return tuple(found.values())
