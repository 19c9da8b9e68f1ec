"""Differences and intervals: SciPy, closed forms, and layouts worked by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from cnn.ablation.statistics.difference import (
    Difference,
    crossed,
    mean_interval,
    paired,
    seed_floor,
    seed_variances,
    share_interval,
    welch,
)
from tests.ablation.statistics.samples import A, B


def test_paired_is_scipys_paired_t():
    expected = stats.ttest_rel(A, B)
    found = paired(A, B)
    assert found.p_value() == pytest.approx(expected.pvalue, rel=1e-12)
    assert found.interval(0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.degrees == pytest.approx(len(A) - 1)


def test_welch_is_scipys_welch_with_unequal_seeds():
    expected = stats.ttest_ind(A, B[:4], equal_var=False)
    found = welch(A, B[:4])
    assert found.p_value() == pytest.approx(expected.pvalue, rel=1e-12)
    assert found.interval(0.99) == pytest.approx(tuple(expected.confidence_interval(0.99)))
    assert found.degrees == pytest.approx(expected.df)


def test_mean_interval_is_scipys():
    mean, low, high = mean_interval(A, 0.9)
    assert (low, high) == pytest.approx(stats.t.interval(0.9, 6, A.mean(), stats.sem(A)))
    assert mean == A.mean()
    for values in (A[:1], np.full(3, A[0])):
        assert mean_interval(values) == pytest.approx((A[0], np.nan, np.nan), nan_ok=True)


def test_intervals_of_shares_stay_within_the_possible():
    shares = np.array([0.985, 0.99, 0.998])
    mean, low, high = share_interval(shares)
    assert mean_interval(shares)[2] > 1 > high > mean > low > 0.9
    # In the middle they are Student's.
    middle = np.array([0.50, 0.51, 0.52])
    assert share_interval(middle) == pytest.approx(mean_interval(middle), abs=1e-3)
    assert share_interval(np.ones(3), 1 / 2000**2)[1:] == pytest.approx((0.99, 1.0), abs=0.01)
    for values in (np.ones(3), np.ones(1)):
        assert share_interval(values) == pytest.approx((1.0, np.nan, np.nan), nan_ok=True)


def test_equivalence_is_two_one_sided_tests():
    gaps, margin = A - B, 1.0
    lower = stats.ttest_1samp(gaps, -margin, alternative="greater").pvalue
    upper = stats.ttest_1samp(gaps, margin, alternative="less").pvalue
    assert paired(A, B).equivalence_p(margin) == pytest.approx(max(lower, upper), rel=1e-12)
    assert paired(A, B).equivalence_p(0.1) > 0.5


def test_without_any_variance_nothing_is_known():
    for view in (paired(A, A), paired(A + 0.5, A.round() * 0 + A), welch(A * 0 + 1, A * 0)):
        assert not view.varies
        assert (view.p_value(), view.equivalence_p(1.0)) == (1.0, 1.0)
        assert view.interval() == (-np.inf, np.inf)


def two_way_by_hand(table):
    """Searle's estimator from sums of squares, one cell at a time."""
    seeds, examples = table.shape
    mean, rows, columns = table.mean(), table.mean(1), table.mean(0)
    ms_rows = examples * sum((r - mean) ** 2 for r in rows) / (seeds - 1)
    ms_columns = seeds * sum((c - mean) ** 2 for c in columns) / (examples - 1)
    rest = sum(
        (table[i, j] - rows[i] - columns[j] + mean) ** 2
        for i, j in itertools.product(range(seeds), range(examples))
    )
    ms_rest = rest / ((seeds - 1) * (examples - 1))
    return ms_rows / (seeds * examples), (ms_columns - ms_rest) / (seeds * examples)


def test_crossed_variance_is_the_two_way_layouts():
    rng = np.random.default_rng(1)
    ease = rng.normal(1, 2, 60)
    arm = rng.random((5, 60)) < 1 / (1 + np.exp(-ease - rng.normal(0.5, 1, 60)))
    base = rng.random((5, 60)) < 1 / (1 + np.exp(-ease))
    found = crossed(arm, base, pair_seeds=True)
    by_seed, by_example = two_way_by_hand(arm.astype(float) - base)
    assert found.estimate == pytest.approx(arm.mean() - base.mean())
    by_seed = max(by_seed, seed_floor(arm.astype(int) - base) / 5)
    by_example += 4 / 60**2  # the discordant examples that are added
    assert found.seed_variances[0] / 5 == pytest.approx(by_seed)
    assert found.example_variance == pytest.approx(by_example)
    assert found.standard_error == pytest.approx(np.sqrt(by_seed + by_example))
    degrees = (by_seed + by_example) ** 2 / (by_seed**2 / 4 + by_example**2 / 59)
    assert found.degrees == pytest.approx(degrees)


def test_units_of_one_example_each_change_nothing_and_copies_count_once():
    rng = np.random.default_rng(9)
    ease, units = rng.normal(1, 2, 300), np.arange(300)
    arm, base = (rng.random((4, 300)) < 1 / (1 + np.exp(-ease - g)) for g in (0.5, 0.0))
    alone = crossed(arm, base, pair_seeds=False)
    assert crossed(arm, base, pair_seeds=False, units=units[::-1]) == alone
    # Every example three times over tells as much as once, if the unit is named.
    many = np.repeat(arm, 3, axis=1), np.repeat(base, 3, axis=1)
    copied = crossed(*many, pair_seeds=False, units=np.repeat(units, 3))
    assert copied.examples == 300
    residual = sum(_residual(t) / t.size for t in (arm.astype(float), base.astype(float)))
    seen = alone.example_variance - 4 / 300**2
    assert copied.example_variance == pytest.approx(seen, abs=1.5 * residual)
    assert crossed(arm[:, :1], base[:, :1], pair_seeds=False).p_value() <= 1.0


def _residual(table):
    rest = table - table.mean(0) - table.mean(1)[:, None] + table.mean()
    return (rest**2).sum() / ((table.shape[0] - 1) * (table.shape[1] - 1))


def test_two_units_have_one_degree_of_freedom():
    view = Difference(0.0, (1e-12,), (5,), example_variance=1.0, examples=2)
    assert view.reach(0.95) == pytest.approx(stats.t.isf(0.025, 1), rel=1e-3)


def test_equal_accuracies_are_floored_by_their_disagreement():
    table = np.zeros((3, 200), bool)
    for seed in range(3):
        table[seed, 10 * seed : 10 * seed + 10] = True  # 5 % right, each on other examples
    disagreement = table.var(axis=0, ddof=1).mean()
    assert seed_floor(table) == pytest.approx(disagreement / 200)
    assert seed_floor(np.ones((3, 200))) == 1 / 200**2
    found = crossed(table, np.roll(table, 30, axis=1), pair_seeds=False)
    assert found.seed_variances == pytest.approx((disagreement / 200,) * 2)
    assert found.varies
    assert 0 < found.equivalence_p(0.02) < 1


def test_arms_lend_each_other_their_variance():
    rng = np.random.default_rng(8)
    arms = [rng.normal(0, sd, 5) for sd in (1, 1, 1, 6)]
    own = [a.var(ddof=1) for a in arms]
    shared = np.mean(own)
    found = seed_variances(arms)
    assert [v.value for v in found] == pytest.approx([max(v, shared) for v in own])
    assert [v.borrowed for v in found] == [4.0, 4.0, 4.0, 1.0]
    both = welch(arms[0], arms[1], (found[0], found[1]))
    # Of one common variance it is Student's t with the degrees of all arms.
    assert both.standard_error == pytest.approx(np.sqrt(shared * 2 / 5))
    assert both.degrees == pytest.approx(4 * 4)


def test_seeds_and_examples_are_convolved():
    view = Difference(0.0, (0.9, 0.5), (4, 6), example_variance=0.2, examples=5000)
    rng = np.random.default_rng(6)
    terms = np.array([0.9 / 4, 0.5 / 6])
    degrees = terms.sum() ** 2 / (terms**2 / [3, 5]).sum()
    errors = rng.standard_t(degrees, 1_000_000) * np.sqrt(terms.sum())
    errors += rng.normal(0, np.sqrt(0.2), 1_000_000)
    for level in (0.5, 0.95, 0.99):
        assert view.reach(level) == pytest.approx(np.quantile(np.abs(errors), level), rel=0.01)
        assert 2 * view.tail(view.reach(level)) == pytest.approx(1 - level)
    assert view.tail(-0.3) == pytest.approx(1 - view.tail(0.3))


def test_the_convolution_meets_its_limits():
    seeds = Difference(0.0, (0.9,), (4,))
    nearly = Difference(0.0, (0.9,), (4,), example_variance=1e-12, examples=5000)
    assert nearly.reach(0.95) == pytest.approx(seeds.reach(0.95), rel=1e-6)
    few, none = (
        Difference(0.0, (v,), (10,), example_variance=0.2, examples=5000) for v in (0.041, 0.039)
    )
    assert few.reach(0.99) == pytest.approx(none.reach(0.99), rel=5e-3)


def test_crossed_without_example_effects_is_the_test_over_seeds():
    table = np.zeros((4, 40), bool)
    for seed, right in enumerate((20, 24, 31, 28)):
        table[seed, :right] = True
    base = ~np.zeros((4, 40), bool)
    found = crossed(np.roll(table, 3, axis=1), base, pair_seeds=False)
    accuracy = table.mean(axis=1)
    assert found.seed_variances == pytest.approx((accuracy.var(ddof=1), 1 / 40**2))
