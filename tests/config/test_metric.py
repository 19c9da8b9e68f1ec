"""Metrics: found where they were measured, told in words, and one meaning a name."""

from dataclasses import replace

import pytest

from cnn.config.errors import UserError
from cnn.config.metric import ACCURACY, METRICS, declare, share
from cnn.evaluation.suites import SUITES

CONSISTENCY = share("grid, consistency", "Consistency, grid", "consistency", "of two shifts")


@pytest.mark.parametrize(
    ("measured", "value"),
    [
        ({"grid": {"consistency": 0.5}}, 0.5),
        ({"grid": {"consistency": 1}}, 1.0),
        ({"grid": {"consistency": None}}, None),
        ({"grid": {}}, None),
        ({"grid": None}, None),
        ({}, None),
        ({"grid": {"consistency": {"mean": 0.5}}}, None),
    ],
)
def test_a_metric_is_found_by_its_name(measured, value):
    assert CONSISTENCY.find(measured) == value


def test_shares_are_shown_in_percent_and_their_differences_in_points():
    assert (CONSISTENCY.unit, CONSISTENCY.scale, CONSISTENCY.difference_unit) == ("%", 100, "pp")
    assert CONSISTENCY.higher_is_better


def test_a_name_has_one_meaning():
    declare(ACCURACY)
    with pytest.raises(ValueError, match="registered twice"):
        declare(replace(ACCURACY, unit="nats"))
    assert METRICS["accuracy"] is ACCURACY


def test_every_metric_of_every_suite_is_known_and_described():
    for suite in SUITES.values():
        for metric in suite.metrics:
            assert METRICS[metric.name] == metric
            assert metric.label
            assert metric.short
            assert metric.about
    for name in (
        "loss",
        "as_trained, ece",
        "as_trained, nll",
        "scaled, brier",
        "mean_error",
        "mce",
    ):
        assert METRICS[name].higher_is_better is False
    assert METRICS["circular_grid, consistency"].higher_is_better


def test_a_metric_that_does_not_exist_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'accuracy'"):
        METRICS.look_up("acuracy", "metric")
