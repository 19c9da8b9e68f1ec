"""The speakers, videos or patients that test examples come from, found in file names."""

import re

from cnn.ablation.planning.study_plan import StudyPlan
from cnn.config.errors import UserError
from cnn.data import open_dataset


def unit_names(plan: StudyPlan) -> list[str]:
    """Returns the name of the independent unit of each test example, in order.

    Raises:
      UserError: the test examples are not files, one has no unit in its name, or all have the same.
    """
    config = plan.load((*plan.shared, *plan.arms[plan.baseline])).config
    names = open_dataset(config.data).test.names
    if names is None:
        raise UserError(
            f"unit: the test examples of data.source={config.data.source} have no names to find "
            f"'{plan.unit}' in; leave it out"
        )
    found = [re.search(plan.unit, str(name)) for name in names]
    for name, match in zip(names, found, strict=True):
        if match is None:
            raise UserError(f"unit: '{plan.unit}' is not found in the name of test file '{name}'")
    units = [match[1] for match in found]
    if len(set(units)) < 2:
        raise UserError(
            f"unit: all test files belong to one unit ('{units[0]}'); at least two are needed"
        )
    return units
