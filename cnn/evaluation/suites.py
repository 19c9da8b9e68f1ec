"""The registry of suites. A new suite is one file (`measure`, `section`, metrics) and one line."""

from cnn.config.call import split_calls
from cnn.config.errors import UserError
from cnn.config.metric import declare
from cnn.config.registry import Registry
from cnn.evaluation import flips, landscape, present_classes
from cnn.evaluation.accuracy import suite as accuracy
from cnn.evaluation.adversarial import suite as adversarial
from cnn.evaluation.calibration import suite as calibration
from cnn.evaluation.corruption import suite as corruption
from cnn.evaluation.cost import suite as cost
from cnn.evaluation.deformation import suite as deformation
from cnn.evaluation.equivariance import suite as equivariance
from cnn.evaluation.features import suite as features
from cnn.evaluation.ood import suite as ood
from cnn.evaluation.probes import linear, neighbors
from cnn.evaluation.receptive_field import suite as receptive_field
from cnn.evaluation.shift import suite as shift
from cnn.evaluation.suite import Asked, Suite

SUITES: Registry[Suite] = Registry("suite")


def add_suite(name: str, suite: Suite) -> None:
    """Adds a suite and its metrics to the registries."""
    declare(*suite.metrics)
    SUITES.add(name, suite)


add_suite("accuracy", accuracy.SUITE)
add_suite("cost", cost.SUITE)
add_suite("shift", shift.SUITE)
add_suite("equivariance", equivariance.SUITE)
add_suite("deformation", deformation.SUITE)
add_suite("calibration", calibration.SUITE)
add_suite("corruption", corruption.SUITE)
add_suite("present_classes", present_classes.SUITE)
add_suite("adversarial", adversarial.SUITE)
add_suite("ood", ood.SUITE)
add_suite("flips", flips.SUITE)
add_suite("landscape", landscape.SUITE)
add_suite("receptive_field", receptive_field.SUITE)
add_suite("features", features.SUITE)
add_suite("knn", neighbors.SUITE)
add_suite("linear_probe", linear.SUITE)


def chosen(text: str, field: str = "--suite") -> tuple[Asked, ...]:
    """Parses "a,b(option=value)"; "all" stands for every suite without a required option.

    Later entries override earlier ones: "all,shift(images=500)" is every suite, with `shift` on
    fewer images.

    Args:
      text: the suites to run.
      field: the field that error messages name.

    Raises:
      UserError: a suite or option is unknown, a required option is missing, or no suite is named.
    """
    found: dict[str, Asked] = {}
    for part in split_calls(text):
        if part == "all":
            found |= {name: Asked(name) for name, suite in SUITES.items() if not suite.needs}
            continue
        name, options = SUITES.parse(part, field)
        needed = SUITES[name].needs
        if needed and not options.get(needed):
            raise UserError(f"{field}: '{name}' needs {needed}; use {name}({needed}=...)")
        found[name] = Asked(name, options)
    if not found:
        raise UserError(f"{field}: no suite is named; allowed: all, {', '.join(SUITES)}")
    return tuple(found.values())
