"""The rule, and that it is right: simulated studies whose truth is known.

The seeds are fixed, so nothing here fails by chance. A rate that must not exceed 5 % may exceed it
by what 999 of 1000 binomial draws stay below.
"""

import numpy as np
import pytest
from scipy import stats

from cnn.ablation.statistics.bootstrap import two_level_bootstrap
from cnn.ablation.statistics.difference import Difference, crossed, paired, welch
from cnn.ablation.statistics.power import (
    decision_power,
    equivalence_power,
    planned,
    power,
    seeds_needed,
)
from cnn.ablation.statistics.sequential import AnalysisSchedule, spending_levels
from cnn.ablation.statistics.significance import holm
from cnn.ablation.statistics.verdict import InterimAnalysis, Verdict, verdict, verdicts

EASE, GAIN, SEED, ARM = 1.5, 0.35, 0.15, 0.5  # logits: sd of examples, a gain, sds of effects


def most(rate: float, studies: int) -> float:
    """The largest share of studies that a true rate explains."""
    return stats.binom.ppf(0.999, studies, rate) / studies


def draw_arms(
    rng: np.random.Generator, gains: list[float], seeds: int, examples: int
) -> list[np.ndarray]:
    """Bool `[seeds, examples]` for each arm: examples are easier for one arm than for another."""
    ease = rng.normal(1.0, EASE, examples)
    arms = []
    for gain in gains:
        logits = ease + gain + rng.normal(0, ARM, examples) + rng.normal(0, SEED, (seeds, 1))
        arms.append(rng.random(logits.shape) < 1 / (1 + np.exp(-logits)))
    return arms


def true_difference(gain: float) -> float:
    """Difference in accuracy over the population of seeds and examples."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    logits = 1.0 + np.sqrt(EASE**2 + ARM**2 + SEED**2) * nodes
    gained = 1 / (1 + np.exp(-logits - gain)) - 1 / (1 + np.exp(-logits))
    return float(gained @ weights / weights.sum())


def any_different(differences: list[Difference]) -> bool:
    """What `verdicts` calls different, without the words; see the test of their agreement."""
    return bool((holm(np.array([d.p_value() for d in differences])) <= 0.05).any())


@pytest.mark.parametrize("seeds", [3, 6])
@pytest.mark.parametrize("pair_seeds", [True, False])
def test_type_one_error_of_a_study_of_five_equal_arms(pair_seeds, seeds):
    rng, studies, false = np.random.default_rng(10), 800, 0
    for _ in range(studies):
        base, *arms = draw_arms(rng, [0.0] * 6, seeds, examples=600)
        false += any_different([crossed(a, base, pair_seeds=pair_seeds) for a in arms])
    assert false / studies <= most(0.05, studies)
    assert false > 0 or pair_seeds  # the rule does judge; 3 pairs of seeds tell next to nothing


def test_type_one_error_with_few_skewed_seeds():
    rng, studies, false = np.random.default_rng(11), 2000, 0
    for _ in range(studies):
        base, *arms = np.log(rng.beta(60, 6, (5, 5)))  # accuracies lean to the left
        false += any_different([welch(a, base) for a in arms])
    assert false / studies <= most(0.05, studies)


def test_an_arm_at_the_margin_is_hardly_ever_called_equivalent():
    rng, studies, false = np.random.default_rng(12), 2000, 0
    for _ in range(studies):
        base, *arms = rng.normal(0, 1, (5, 8))
        shifted = [arm + s * 2.0 for arm, s in zip(arms, (1, -1, 1, -1), strict=True)]
        p = np.array([paired(a, base).equivalence_p(2.0) for a in shifted])
        false += (holm(p) <= 0.05).any()
    assert false / studies <= most(0.05, studies)
    assert false > 0


@pytest.mark.parametrize("pair_seeds", [True, False])
def test_coverage_over_seeds_and_examples(pair_seeds):
    rng, studies, truth = np.random.default_rng(13), 1000, true_difference(GAIN)
    inside = 0
    for _ in range(studies):
        base, arm = draw_arms(rng, [0.0, GAIN], seeds=5, examples=1000)
        low, high = crossed(arm, base, pair_seeds=pair_seeds).interval()
        inside += low <= truth <= high
    assert 0.93 <= inside / studies <= 0.98


@pytest.mark.parametrize("pair_seeds", [True, False])
def test_coverage_of_the_bootstrap(pair_seeds):
    rng, studies, truth = np.random.default_rng(14), 300, true_difference(GAIN)
    inside = 0
    for _ in range(studies):
        base, arm = draw_arms(rng, [0.0, GAIN], seeds=8, examples=200)
        low, high = two_level_bootstrap(arm, base, pair_seeds=pair_seeds, samples=600)
        inside += low <= truth <= high
    assert 0.93 <= inside / studies <= 0.99


def test_a_seed_interval_is_too_narrow_for_new_examples():
    """Why the report says which population it speaks for."""
    rng, studies, truth = np.random.default_rng(15), 300, true_difference(GAIN)
    inside = 0
    for _ in range(studies):
        base, arm = draw_arms(rng, [0.0, GAIN], seeds=20, examples=100)
        low, high = paired(arm.mean(axis=1), base.mean(axis=1)).interval()
        inside += low <= truth <= high
    assert inside / studies < 0.9


def test_power_is_as_planned():
    rng, studies = np.random.default_rng(16), 4000
    view = planned(0.3, 0.25, 3)
    seeds = seeds_needed(view)
    arms = rng.normal([[[0.3]], [[0.0]]], 0.25, (2, studies, seeds))
    shown = stats.ttest_ind(*arms, axis=1).pvalue <= 0.05
    assert shown.mean() >= 0.8 - 0.02
    assert shown.mean() == pytest.approx(power(view.at(seeds)), abs=0.02)
    fewer = stats.ttest_ind(*arms[:, :, :-1], axis=1).pvalue <= 0.05
    assert fewer.mean() < 0.8


def test_the_seeds_advised_for_an_undecided_arm_are_enough():
    rng, studies = np.random.default_rng(17), 1500
    found = verdict(Difference(0.3, (0.5,), (5,)), margin=0.01)
    assert found.kind == "undecided"
    gaps = rng.normal(0.3, np.sqrt(0.5), (studies, found.seeds_wanted))
    decided = stats.ttest_1samp(gaps, 0.0, axis=1).pvalue <= 0.05
    assert decided.mean() == pytest.approx(0.8, abs=0.03)


def test_several_analyses_cost_nothing_if_planned_and_much_if_not():
    rng, studies, seeds = np.random.default_rng(18), 2500, (6, 12, 18, 30)
    values = rng.normal(0, 1, (studies, 3, seeds[-1]))
    p = np.stack([stats.ttest_1samp(values[..., :n], 0, axis=2).pvalue for n in seeds], axis=2)
    # Holm's first step is what can err first when no arm differs. The last seeds were added later.
    levels = np.array(spending_levels(AnalysisSchedule(seeds, planned=3), 0.05 / 3))
    assert (p <= levels).any(axis=(1, 2)).mean() <= most(0.05, studies)
    assert (p <= 0.05 / 3).any(axis=(1, 2)).mean() > 0.07


def test_an_analysis_uses_its_own_level():
    schedule = AnalysisSchedule((6, 12, 18), planned=3)
    first = InterimAnalysis(0, schedule)
    level = spending_levels(schedule, 0.05)[0]
    just = stats.t.isf(0.49 * level, 5)  # a little beyond the boundary of the first analysis
    view = Difference(just * np.sqrt(1 / 6), (1.0,), (6,))
    assert verdict(view, 1e-3, analysis=first).kind == "better"
    assert verdict(view, 1e-3, analysis=first).adjusted_p == pytest.approx(0.05, abs=0.002)
    weaker = Difference(0.9 * just * np.sqrt(1 / 6), (1.0,), (6,))
    assert verdict(weaker, 1e-3).kind == "better"
    assert verdict(weaker, 1e-3, analysis=first).kind == "undecided"
    found = verdict(weaker, 1e-3, analysis=first)
    assert found.family_interval == pytest.approx(weaker.interval(1 - level))
    assert found.interval == pytest.approx(weaker.interval(0.95))


def test_the_four_verdicts():
    def analyze(estimate: float, sd: float, **rule) -> Verdict:
        return verdict(Difference(estimate, (sd**2,), (10,)), margin=0.3, **rule)

    assert analyze(1.0, 0.3).kind == "better"
    assert analyze(-1.0, 0.3).kind == "worse"
    assert analyze(-1.0, 0.3, higher_is_better=False).kind == "better"
    assert analyze(0.0, 0.3).kind == "equivalent"
    assert analyze(0.3, 1.0).kind == "undecided"


def test_a_real_difference_below_the_margin_is_equivalent_and_called_real():
    found = verdict(Difference(0.1, (0.05**2,), (10,)), margin=0.3)
    assert (found.kind, found.different) == ("equivalent", True)


def test_undecided_says_how_many_seeds_and_decided_does_not():
    undecided = verdict(Difference(0.3, (1.0,), (10,)), margin=0.2)
    assert undecided.seeds_wanted > 10
    assert power(undecided.difference.at(undecided.seeds_wanted)) >= 0.8
    assert verdict(Difference(3.0, (1.0,), (10,)), margin=0.2).seeds_wanted is None


def test_fewer_than_three_seeds_are_not_ranked_but_stay_in_the_family():
    clear = Difference(1.0, (0.2,), (10,))
    pair = Difference(9.0, (0.01,), (2,))
    one, two, three = verdicts([clear, pair, None], margin=0.1)
    assert (two.kind, three.kind) == ("unranked", "unranked")
    assert (two.p, three.seeds_wanted) == (1.0, None)
    assert one.adjusted_p == pytest.approx(3 * one.p)
    assert verdict(Difference(1.0, (0.2, 0.2), (10, 2)), 0.1).kind == "unranked"


def test_seeds_without_spread_decide_nothing():
    found = verdict(Difference(0.5, (0.0,), (5,)), margin=0.1)
    assert (found.kind, found.interval) == ("undecided", (-np.inf, np.inf))


def test_the_verdicts_are_holms():
    rng = np.random.default_rng(20)
    for _ in range(40):
        values = rng.normal(rng.choice([0, 0.4, 2.0], (6, 1)), 1, (6, 8))
        differences = [paired(v, values[0] * 0) for v in values]
        found = verdicts(differences, margin=1.2)
        adjusted = holm(np.array([d.p_value() for d in differences]))
        equivalent = holm(np.array([d.equivalence_p(1.2) for d in differences])) <= 0.05
        assert [v.adjusted_p for v in found] == pytest.approx(adjusted)
        assert [v.different for v in found] == (adjusted <= 0.05).tolist()
        assert [v.kind == "equivalent" for v in found] == equivalent.tolist()


def test_the_intervals_of_a_family_hold_together():
    rng, studies, missed, alone = np.random.default_rng(19), 300, 0, 0
    for _ in range(studies):
        values = rng.normal(0, 1, (5, 6))
        found = verdicts([paired(v, v * 0) for v in values], 1e-6)
        missed += any(not v.family_interval[0] < 0 < v.family_interval[1] for v in found)
        alone += any(not v.interval[0] < 0 < v.interval[1] for v in found)
    assert missed / studies <= most(0.05, studies)
    assert alone / studies > 0.15


def test_what_was_selected_is_corrected():
    rng, sd = np.random.default_rng(21), 0.5
    selected, corrected = [], []
    for _ in range(1200):
        view = Difference(rng.normal(0.8, sd), (sd**2 * 10,), (10,), (1000.0,))
        if (found := verdict(view, 1e-3)).different:
            selected.append(view.estimate)
            corrected.append(found.corrected)
    assert np.mean(selected) > 1.4 * 0.8
    assert abs(np.mean(corrected) - 0.8) < 0.5 * abs(np.mean(selected) - 0.8)
    far = Difference(10.0, (1.0,), (10,), (1000.0,))
    assert verdict(far, 1e-3).corrected == pytest.approx(10.0)
    assert verdict(Difference(0.1, (1.0,), (10,)), 1e-3).corrected is None


def test_limited_by_the_test_set_means_that_no_seeds_decide_and_examples_do():
    view = Difference(0.004, (0.003**2,) * 2, (10, 10), (6.0, 6.0), 0.004**2, 2000)
    found = verdict(view, margin=0.005)
    assert found.kind == "undecided"
    assert decision_power(view.at(10_000), 0.005) < 0.8
    assert decision_power(view.at(found.seeds_wanted).on(found.examples_wanted), 0.005) >= 0.8
    # Either way counts: neither of the two alone has the power, both together do.
    close = Difference(0.0012, (0.003**2,) * 2, (200, 200), (6.0, 6.0))
    assert max(power(close), equivalence_power(close, 0.0018)) < decision_power(close, 0.0018)


def test_a_larger_family_asks_for_more():
    view = Difference(1.0, (1.5,), (10,))
    alone = verdict(view, 0.01)
    among = verdicts([view] + [Difference(0.0, (1.0,), (10,))] * 9, 0.01)[0]
    assert alone.kind == "better"
    assert among.kind == "undecided"
    assert among.adjusted_p == pytest.approx(10 * alone.p)
