"""Golden values: SciPy, closed forms, and examples worked by hand or published."""

import itertools

import numpy as np
import pytest
from scipy import stats

from cnn.ablation.analysis.statistics.across import (
    iqm,
    kendalls_w,
    probability_of_improvement,
    rank_distribution,
    stratified_interval,
)
from cnn.ablation.analysis.statistics.bootstrap import bca_interval, two_level_bootstrap
from cnn.ablation.analysis.statistics.difference import (
    Difference,
    crossed,
    mean_interval,
    paired,
    seed_floor,
    seed_variances,
    share_interval,
    welch,
)
from cnn.ablation.analysis.statistics.power import (
    equivalence_power,
    noise_floor,
    planned,
    power,
    resolvable_difference,
    seeds_needed,
)
from cnn.ablation.analysis.statistics.sequential import (
    SPENT,
    AnalysisSchedule,
    sequential_p,
    spending_levels,
)
from cnn.ablation.analysis.statistics.significance import (
    dunnett,
    holm,
    holm_levels,
    mcnemar,
    sign_flip,
)

A = np.array([91.2, 90.8, 91.9, 91.4, 90.7, 91.6, 91.1])
B = np.array([90.9, 90.1, 91.2, 91.5, 90.2, 90.8, 90.6])


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
    assert mean_interval(A[:1]) == (A[0], -np.inf, np.inf)


def test_intervals_of_shares_stay_within_the_possible():
    shares = np.array([0.985, 0.99, 0.998])
    mean, low, high = share_interval(shares)
    assert mean_interval(shares)[2] > 1 > high > mean > low > 0.9
    # In the middle they are Student's.
    middle = np.array([0.50, 0.51, 0.52])
    assert share_interval(middle) == pytest.approx(mean_interval(middle), abs=1e-3)
    assert share_interval(np.ones(3), 1 / 2000**2)[1:] == pytest.approx((0.99, 1.0), abs=0.01)
    assert share_interval(np.ones(3)) == (1.0, 0.0, 1.0)
    assert share_interval(np.ones(1)) == (1.0, 0.0, 1.0)


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


def test_seeds_needed_and_resolvable_difference_invert_each_other():
    for seeds in (3, 8, 30):
        smallest = resolvable_difference(planned(0.0, 0.2, seeds))
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
