"""The suites by name. To add one: a file with `measure` and `section`, and an entry here."""

from cnn.config.call import check_options, parse_call, split_calls
from cnn.config.errors import UserError
from cnn.config.registry import Registry
from cnn.evaluation import accuracy, calibration, corruption, cost, shift
from cnn.evaluation.equivariance import suite as equivariance
from cnn.evaluation.features import suite as features
from cnn.evaluation.receptive_field import suite as receptive
from cnn.evaluation.suite import Asked, Suite

SUITES: Registry[Suite] = Registry("suite")
ZEROS = ("images", "exhaustive")  # options that take 0: all, or none

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
        "error of each layer's map of a shifted image",
        equivariance.measure,
        equivariance.section,
        frozenset({"image"}),
    ),
)
SUITES.add(
    "calibration",
    Suite("ECE, NLL, Brier, temperature", calibration.measure, calibration.section),
)
SUITES.add(
    "corruption",
    Suite(
        "errors under 15 corruptions",
        corruption.measure,
        corruption.section,
        frozenset({"image"}),
    ),
)
SUITES.add(
    "receptive_field",
    Suite("theoretical and effective receptive fields", receptive.measure, receptive.section),
)
SUITES.add(
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
        name, options = parse_call(part, field)
        check_options(name, options, SUITES.look_up(name, field).defaults(), field, ZEROS)
        found[name] = Asked(name, options)
    if not found:
        raise UserError(f"{field}: names none; allowed: all, {', '.join(SUITES)}")
    return tuple(found.values())
