"""Bootstraps: SciPy, and the interval that they should agree with."""

import numpy as np
import pytest
from scipy import stats

from cnn.ablation.statistics.bootstrap import bca_interval, two_level_bootstrap
from cnn.ablation.statistics.difference import crossed
from tests.ablation.statistics.samples import A


def test_bca_is_scipys():
    result = stats.bootstrap((A,), np.mean, method="BCa", n_resamples=4000, rng=0)
    influence = A - A.mean()
    acceleration = np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5)
    found = bca_interval(result.bootstrap_distribution, A.mean(), acceleration, 1.959964)
    assert found == pytest.approx(tuple(result.confidence_interval), abs=2e-3)


@pytest.mark.parametrize("pair_seeds", [True, False])
def test_two_level_bootstrap_agrees_with_the_crossed_interval(pair_seeds):
    rng = np.random.default_rng(5)
    ease = rng.normal(2, 2, 2000)
    arm = rng.random((10, 2000)) < 1 / (1 + np.exp(-ease - rng.normal(0, 1, 2000)))
    base = rng.random((10, 2000)) < 1 / (1 + np.exp(-ease))
    found = two_level_bootstrap(arm, base, pair_seeds=pair_seeds)
    expected = crossed(arm, base, pair_seeds=pair_seeds).interval()
    width = expected[1] - expected[0]
    assert found == pytest.approx(expected, abs=0.08 * width)
    same = two_level_bootstrap(arm, base, pair_seeds=pair_seeds)
    assert found == same
    same = crossed(arm, arm, pair_seeds=True)
    assert two_level_bootstrap(arm, arm, pair_seeds=True) == same.interval()
