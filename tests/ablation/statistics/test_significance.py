"""Tests of significance: SciPy, and examples that were published or worked by hand."""

import numpy as np
import pytest
from scipy import stats

from cnn.ablation.statistics.significance import (
    dunnett,
    holm,
    holm_levels,
    mcnemar,
    sign_flip,
)
from tests.ablation.statistics.samples import A, B


def test_sign_flip_is_scipys_exact_permutation():
    gaps = A - B
    expected = stats.permutation_test(
        (gaps,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(gaps) == pytest.approx(expected.pvalue)
    assert sign_flip(np.ones(6)) == 2**-5  # the smallest p of six seeds
    assert sign_flip(np.zeros(4)) == 1.0


def test_sampled_sign_flips_approach_the_normal_limit_and_never_reach_zero():
    gaps = np.random.default_rng(0).normal(0.45, 1, 25)
    z = abs(gaps.sum()) / np.sqrt(np.sum(gaps**2))
    assert sign_flip(gaps) == pytest.approx(2 * stats.norm.sf(z), abs=0.01)
    assert sign_flip(np.ones(40), samples=999) == 1e-3


def outcome_pair(gained, lost):
    first = np.array([True] * gained + [False] * lost + [True] * 50)
    second = np.array([False] * gained + [True] * lost + [True] * 50)
    return first, second


def test_mcnemar_on_a_published_example():
    # Fagerland, Lydersen, Laake 2013 (BMC Med Res Methodol 13:91), airway hyper-responsiveness
    # before and after stem cell transplantation: 7 and 1 discordant pairs.
    assert mcnemar(*outcome_pair(1, 7)) == pytest.approx(0.039, abs=5e-4)


def test_mcnemar_of_ties():
    assert mcnemar(*outcome_pair(0, 0)) == 1.0
    assert mcnemar(*outcome_pair(3, 3)) == pytest.approx(1 - 0.5 * 20 / 64)


def test_holm_by_hand_and_its_levels_agree_with_it():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_levels(p) == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])
    rng = np.random.default_rng(2)
    for p in rng.random((200, 6)) ** 3:
        assert ((p <= holm_levels(p)) == (holm(p) <= 0.05)).all()


def test_dunnett_on_his_own_data():
    # Dunnett 1955, blood counts of three groups of animals.
    control = [7.40, 8.50, 7.20, 8.24, 9.84, 8.32]
    drug_a = [9.76, 8.80, 7.68, 9.36]
    drug_b = [12.80, 9.68, 12.16, 9.20, 10.55]
    assert dunnett([drug_a, drug_b], control) == pytest.approx([0.62, 0.0059], abs=5e-3)


@pytest.mark.parametrize("counts", [(5, 5), (3, 8, 4, 6, 3), (10,) * 12])
def test_dunnett_agrees_with_scipy(counts):
    rng = np.random.default_rng(3)
    control, *arms = (rng.normal(size=n) for n in (5, *counts))
    arms[0] += 1.5
    given = stats.dunnett(*arms, control=control, rng=0).pvalue
    # SciPy's is drawn at random, to about 1e-3.
    assert dunnett(arms, control) == pytest.approx(given, abs=2e-3)
    # One arm alone is Student's test.
    assert dunnett(arms[:1], control) == pytest.approx(
        [stats.ttest_ind(arms[0], control).pvalue], abs=1e-5
    )


def test_dunnett_without_variation():
    same, other = np.full(3, 0.5), np.full(3, 0.6)
    assert dunnett([same, other], same) == pytest.approx([1, 0])
