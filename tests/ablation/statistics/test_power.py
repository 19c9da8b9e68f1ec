"""Power and numbers of seeds: closed forms, a textbook, and simulation."""

import numpy as np
import pytest
from scipy import stats

from cnn.ablation.statistics.difference import Difference
from cnn.ablation.statistics.power import (
    detectable_difference,
    equivalence_power,
    noise_floor,
    planned,
    power,
    seeds_needed,
)


def test_noise_floor():
    assert noise_floor(0.94, 10_000) == pytest.approx(0.0023749, rel=1e-4)


def test_power_is_the_noncentral_t():
    view = planned(0.3, 0.2, 10)  # two arms of one variance: an error of 0.2 * sqrt(2 / 10)
    shift = 0.3 / (0.2 * np.sqrt(0.2))
    critical = stats.t.ppf(0.975, 18)
    expected = stats.nct.sf(critical, 18, shift) + stats.nct.cdf(-critical, 18, shift)
    assert power(view) == pytest.approx(expected, rel=1e-6)
    assert power(planned(0.0, 0.2, 10)) == pytest.approx(0.05)


def test_a_textbook_sample_size():
    # Cohen 1988, table 2.4: two independent samples, d = 0.5, two-sided 5 %, power 0.8: n = 64.
    assert seeds_needed(Difference(0.5, (1.0, 1.0), (3, 3))) == 64
    assert seeds_needed(Difference(0.8, (1.0, 1.0), (3, 3))) == 26


def test_seeds_needed_and_detectable_difference_invert_each_other():
    for seeds in (3, 8, 30):
        smallest = detectable_difference(planned(0.0, 0.2, seeds))
        assert seeds_needed(planned(smallest * 1.0001, 0.2, 3)) == seeds
        assert power(planned(smallest, 0.2, seeds)) == pytest.approx(0.8, abs=1e-3)


def test_no_number_of_seeds_outweighs_a_small_test_set():
    view = Difference(0.003, (0.002**2,), (5,), example_variance=0.002**2, examples=2000)
    assert seeds_needed(view) is None
    assert seeds_needed(view, margin=0.02) == 3
    assert seeds_needed(Difference(0.0, (1.0,), (5,))) is None


def test_equivalence_power_against_simulation():
    rng = np.random.default_rng(3)
    gaps = rng.normal(0.1, 0.5, (20_000, 12))
    errors = gaps.std(axis=1, ddof=1) / np.sqrt(12)
    p = stats.t.sf((0.6 - np.abs(gaps.mean(axis=1))) / errors, 11)
    found = equivalence_power(Difference(0.1, (0.25,), (12,)), 0.6)
    assert found == pytest.approx(np.mean(p <= 0.05), abs=0.015)
