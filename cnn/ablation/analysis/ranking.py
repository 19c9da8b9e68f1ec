"""Rank stability of the arms of a network, and arms compared across networks."""

from dataclasses import dataclass

import numpy as np

from cnn.ablation.analysis.pairs import Key
from cnn.ablation.analysis.study_results import Study
from cnn.ablation.analysis.summary import Summary
from cnn.ablation.statistics.across import (
    iqm,
    kendalls_w,
    probability_of_improvement,
    rank_distribution,
    stratified_interval,
)
from cnn.ablation.statistics.verdict import FEWEST_SEEDS


@dataclass(frozen=True)
class AcrossNetworks:
    """One arm against the baseline over all networks, each with a 95 % bootstrap interval.

    Attributes:
      name: of the arm.
      gain: difference in interquartile mean, arm minus baseline, each network centred on the mean
        of its baseline.
      improvement: probability that a run of the arm is better than one of the baseline.
    """

    name: str
    gain: tuple[float, float, float]
    improvement: tuple[float, float, float]


@dataclass(frozen=True)
class RankStability:
    """How stable the order of the arms of one network is.

    Attributes:
      names: from the best mean to the worst.
      ranks: float `[arms, arms]`, how often each arm takes each rank when seeds are resampled.
      agreement: Kendall's W over the seeds that all arms share; None with fewer than 3 of them.
    """

    names: tuple[str, ...]
    ranks: np.ndarray
    agreement: float | None


def rankable(study: Study, summaries: dict[Key, Summary], network: str) -> list[Summary]:
    """The arms of a network with enough seeds, the baseline first; [] without a baseline."""
    names = [study.baseline, *(a.name for a in study.of_network(network))]
    chosen = [summaries[network, name] for name in dict.fromkeys(names)]
    if len(chosen[0].runs) < FEWEST_SEEDS:
        return []
    return [s for s in chosen if len(s.runs) == s.ended >= FEWEST_SEEDS]


def rank_stability(study: Study, summaries: dict[Key, Summary]) -> dict[str, RankStability]:
    """Returns the rank stability of every network with two arms or more that can be ranked."""
    orders = {}
    sign = 1 if study.higher_is_better else -1
    for network in study.networks:
        ranked = sorted(
            rankable(study, summaries, network), key=lambda s: s.mean * sign, reverse=True
        )
        if len(ranked) < 2:
            continue
        by_seed = [{r.seed: r.metrics[study.metric] * sign for r in s.runs} for s in ranked]
        common = [seed for seed in by_seed[0] if all(seed in values for values in by_seed)]
        agreement = None
        if len(common) >= 3 and len(ranked) >= 3:
            agreement = kendalls_w(np.array([[v[seed] for seed in common] for v in by_seed]))
        orders[network] = RankStability(
            tuple(s.arm.name for s in ranked),
            rank_distribution([s.values * sign for s in ranked]),
            agreement,
        )
    return orders


def across_networks(study: Study, summaries: dict[Key, Summary]) -> tuple[AcrossNetworks, ...]:
    """Compares every arm that all networks can rank with the baseline; () with one network."""
    if len(study.networks) < 2:
        return ()
    ranked = [rankable(study, summaries, network) for network in study.networks]
    tables = [{s.arm.name: s.values for s in one} for one in ranked]
    names = [name for name in tables[0] if all(name in table for table in tables)]
    baseline = [table.get(study.baseline) for table in tables]
    return tuple(
        _across_one(name, [table[name] for table in tables], baseline, study.higher_is_better)
        for name in names
        if name != study.baseline
    )


def _across_one(
    name: str, arm: list[np.ndarray], baseline: list[np.ndarray], higher: bool
) -> AcrossNetworks:
    # Networks differ more than arms: without centring, whole networks would be trimmed.
    centres = [values.mean() for values in baseline]

    def gain(arm, baseline):
        return iqm(_relative(arm, centres)) - iqm(_relative(baseline, centres))

    def improvement(arm, baseline):
        better, other = (arm, baseline) if higher else (baseline, arm)
        return probability_of_improvement(better, other)

    return AcrossNetworks(
        name,
        (float(gain(arm, baseline)), *stratified_interval(gain, arm, baseline)),
        (float(improvement(arm, baseline)), *stratified_interval(improvement, arm, baseline)),
    )


def _relative(scores: list[np.ndarray], centres: list[float]) -> list[np.ndarray]:
    return [values - centre for values, centre in zip(scores, centres, strict=True)]
