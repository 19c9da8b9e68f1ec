"""Group-sequential analyses: published boundaries and simulation."""

import numpy as np
import pytest
from scipy import stats

from cnn.ablation.statistics.sequential import (
    SPENT,
    AnalysisSchedule,
    sequential_p,
    spending_levels,
)


def test_spending_levels_are_the_published_boundaries():
    # Five equal analyses at a two-sided 5 %; the values of Lan and DeMets' own program.
    schedule = AnalysisSchedule((2, 4, 6, 8, 10), planned=5)
    expected = [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]
    found = -stats.norm.ppf(np.array(spending_levels(schedule, 0.05 / SPENT)) / 2)
    assert found == pytest.approx(expected, abs=2e-4)


def test_what_is_kept_for_seeds_that_are_added():
    assert AnalysisSchedule((10,)).cumulative(0.05) == pytest.approx([0.035])
    assert spending_levels(AnalysisSchedule((10,)))[0] == pytest.approx(0.035, abs=1e-9)
    extended = AnalysisSchedule((10, 25, 60))
    assert extended.cumulative(0.05) == pytest.approx([0.035, 0.0455, 0.04865])
    levels = np.array(spending_levels(extended))
    # Brownian motion at 10, 25 and 60: crossing anywhere has the probability that was spent.
    rng = np.random.default_rng(0)
    paths = np.cumsum(rng.normal(0, np.sqrt([10, 15, 35]), (400_000, 3)), axis=1)
    z = np.abs(paths) / np.sqrt([10, 25, 60])
    crossed_by = np.maximum.accumulate(z >= stats.norm.isf(levels / 2), axis=1).mean(axis=0)
    assert crossed_by == pytest.approx([0.035, 0.0455, 0.04865], abs=0.0012)


def test_sequential_p_inverts_the_boundary():
    schedule = AnalysisSchedule((3, 6, 10), planned=3)
    level = spending_levels(schedule, 0.02)[1]
    assert sequential_p(level, 1, schedule) == pytest.approx(0.02, rel=1e-5)
    assert sequential_p(0.9, 0, schedule) == 1.0
    assert sequential_p(0.01, 0, AnalysisSchedule((7,))) == pytest.approx(0.01 / SPENT)
