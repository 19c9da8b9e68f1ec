"""Arms over several networks: examples worked by hand."""

import numpy as np
import pytest
from scipy import stats

from cnn.ablation.statistics.across import (
    iqm,
    kendalls_w,
    probability_of_improvement,
    rank_distribution,
    stratified_interval,
)
from tests.ablation.statistics.samples import A, B


def test_iqm_and_probability_of_improvement_by_hand():
    arm, base = [np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 7, 100])], [np.ones(2), np.ones(3) * 7]
    assert iqm(arm) == np.mean([3, 4, 5, 6])
    assert probability_of_improvement(arm, base) == pytest.approx(
        np.mean([(3 + 0.5) / 4, (1 + 0.5) / 4])
    )
    shares = [stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in [(A, B), (B, A)]]
    assert probability_of_improvement([A, B], [B, A]) == pytest.approx(np.mean(shares))
    assert probability_of_improvement([A], [B]) == pytest.approx(shares[0])
    low, high = stratified_interval(iqm, arm, samples=200)
    assert low <= iqm(arm) <= high
    assert stratified_interval(iqm, base, samples=20)[0] >= 1


def test_ranks_of_clear_and_of_equal_arms():
    rng = np.random.default_rng(4)
    clear = rank_distribution([np.zeros(5), np.ones(5) * 2, np.ones(5)])
    assert clear.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    equal = rank_distribution([np.ones(5)] * 3)
    assert equal == pytest.approx(np.full((3, 3), 1 / 3), abs=0.05)
    drawn = rank_distribution(list(rng.normal(size=(4, 6))))
    assert drawn.sum(axis=0) == pytest.approx(np.ones(4))
    assert drawn.sum(axis=1) == pytest.approx(np.ones(4))


def test_kendalls_w_by_hand():
    # Three seeds rank three arms 1 2 3, 1 2 3 and 2 1 3: W = 12 S / (m^2 (k^3 - k)), S = 14.
    scores = np.array([[3, 3, 2], [2, 2, 3], [1, 1, 1]])
    assert kendalls_w(scores) == pytest.approx(12 * 14 / (9 * 24))
    assert kendalls_w(np.tile([[3.0], [2.0], [1.0]], 4)) == pytest.approx(1.0)
    assert kendalls_w(np.ones((3, 4))) == 0.0
