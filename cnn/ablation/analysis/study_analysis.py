"""A study -> what can be said of each arm, and how far it can be trusted."""

from dataclasses import dataclass

import numpy as np

from cnn.ablation.analysis.comparison import Checks, checks, difference, metric_values, pair
from cnn.ablation.analysis.statistics.across import (
    iqm,
    kendalls_w,
    probability_of_improvement,
    rank_distribution,
    stratified_interval,
)
from cnn.ablation.analysis.statistics.difference import mean_interval
from cnn.ablation.analysis.statistics.power import noise_floor, resolvable_difference
from cnn.ablation.analysis.statistics.significance import dunnett
from cnn.ablation.analysis.statistics.verdict import FEWEST_SEEDS, Look, Verdict, verdicts
from cnn.ablation.analysis.study_results import Arm, Population, SeedRun, Study
from cnn.config.errors import UserError

ALPHA = 0.05
Key = tuple[str, str]  # network, arm


@dataclass(frozen=True)
class Summary:
    """The runs of one arm that count.

    Attributes:
      arm: as given.
      runs: those with a finite metric, up to the current look.
      values: float `[runs]`, the metric.
      mean, low, high: with Student's 95 % interval over seeds; NaN without runs.
      failed: the runs that ended without a finite metric.
    """

    arm: Arm
    runs: tuple[SeedRun, ...]
    values: np.ndarray
    mean: float
    low: float
    high: float
    failed: tuple[SeedRun, ...]


@dataclass(frozen=True)
class Comparison:
    """One arm against the baseline of its network.

    Attributes:
      arm: as given.
      verdict: on it.
      by_seed: whether it was paired with the baseline by seed.
      checks: by other methods; None for an unranked arm.
    """

    arm: Arm
    verdict: Verdict
    by_seed: bool
    checks: Checks | None


@dataclass(frozen=True)
class AcrossNetworks:
    """One arm against the baseline over all networks, each with a 95 % bootstrap interval.

    Attributes:
      name: of the arm.
      gain: interquartile mean of the metric, arm minus baseline.
      improvement: chance that a run of the arm is better than one of the baseline.
    """

    name: str
    gain: tuple[float, float, float]
    improvement: tuple[float, float, float]


@dataclass(frozen=True)
class Order:
    """How stable the order of the arms of one network is.

    Attributes:
      names: from the best mean to the worst.
      ranks: float `[arms, arms]`, how often each takes each rank when seeds are drawn anew.
      agreement: Kendall's W over the seeds that all arms share; None with fewer than 3 of them.
    """

    names: tuple[str, ...]
    ranks: np.ndarray
    agreement: float | None


@dataclass(frozen=True)
class Analysis:
    """Everything that the report says in figures.

    Attributes:
      study: as given.
      population: what the verdicts speak for.
      summaries: of every arm.
      comparisons: of every arm but the baselines.
      look: which of the planned looks this is; None if the study is judged once.
      waiting: whether the first planned look is still to come, so that nothing is judged yet.
      examples: of the test set; None if outcomes were not kept.
      noise_floor: of one run's accuracy, by network; empty if not known.
      resolvable: difference that the finished seeds show with 80 % power at the strictest level of
        the family, by network: the median over its arms.
      orders: by network; only of networks with 2 arms or more that can be ranked.
      across: of every arm that all networks can rank, in a study of several networks.
    """

    study: Study
    population: Population
    summaries: dict[Key, Summary]
    comparisons: dict[Key, Comparison]
    look: Look | None
    waiting: bool
    examples: int | None
    noise_floor: dict[str, float]
    resolvable: dict[str, float]
    orders: dict[str, Order]
    across: tuple[AcrossNetworks, ...]

    @property
    def doubtful(self) -> tuple[Comparison, ...]:
        """The A/A comparisons that came out different, which they should not."""
        name = self.study.aa_arm
        compared = self.comparisons.values()
        return tuple(c for c in compared if c.arm.name == name and c.verdict.different)


def analyze(study: Study) -> Analysis:
    """Judges a study by the rule of `statistics/verdict.py`.

    Arms are paired on the seeds that both have finished, if those are 3 or more, and otherwise
    compared as independent.

    Raises:
      UserError: a finished run lacks the metric, or outcomes of runs are not about the same
        examples.
    """
    look, seeds = _current_look(study)
    summaries = {(a.network, a.name): _summarize(a, study.metric, seeds) for a in study.arms}
    examples = _examples(study.metric, summaries)
    by_example = examples is not None and study.population == "seeds and examples"
    comparisons = _compare(study, summaries, look, by_example, examples is not None)
    return Analysis(
        study=study,
        population="seeds and examples" if by_example else "seeds",
        summaries=summaries,
        comparisons=comparisons,
        look=look,
        waiting=seeds == 0,
        examples=examples,
        noise_floor=_noise_floors(study, summaries, examples),
        resolvable=_resolvable(study, comparisons),
        orders=_orders(study, summaries),
        across=_across(study, summaries),
    )


def _current_look(study: Study) -> tuple[Look | None, int | None]:
    """Returns the last planned look that all arms have reached, and its number of seeds.

    (None, None) if the study is judged once; (None, 0) before the first look.
    """
    if not study.looks:
        return None, None
    done = min(_leading_ended(arm) for arm in study.arms)
    reached = [i for i, seeds in enumerate(study.looks) if seeds <= done]
    if not reached:
        return None, 0
    fractions = tuple(seeds / study.looks[-1] for seeds in study.looks)
    return Look(reached[-1], fractions), study.looks[reached[-1]]


def _leading_ended(arm: Arm) -> int:
    """How many of the first runs have ended, with none in between still to come."""
    ended = [run.ended for run in arm.seeds]
    return ended.index(False) if False in ended else len(ended)


def _summarize(arm: Arm, metric: str, seeds: int | None) -> Summary:
    for run in arm.seeds:
        if run.status == "finished" and metric not in run.metrics:
            raise UserError(
                f"metric: {run.run_dir} has no '{metric}'; it has: {', '.join(sorted(run.metrics))}"
            )
    counted = arm.seeds[:seeds]
    finished = [run for run in counted if run.status == "finished"]
    runs = tuple(run for run in finished if np.isfinite(run.metrics[metric]))
    failed = tuple(run for run in counted if run.ended and run not in runs)
    values = metric_values(runs, metric)
    mean, low, high = mean_interval(values) if runs else (float("nan"),) * 3
    return Summary(arm, runs, values, mean, low, high, failed)


def _examples(metric: str, summaries: dict[Key, Summary]) -> int | None:
    """Returns the size of the test set if the metric is the share of `correct` in every run."""
    runs = [run for summary in summaries.values() for run in summary.runs]
    if metric != "accuracy" or not runs or any(run.correct is None for run in runs):
        return None
    sizes = {len(run.correct): run.run_dir for run in runs}
    if len(sizes) > 1:
        (one, first), (two, second) = list(sizes.items())[:2]
        raise UserError(
            f"arms: {first} was tested on {one} examples and {second} on {two}; "
            "arms must be tested on the same data"
        )
    for run in runs:
        if abs(run.correct.mean() - run.metrics[metric]) > 1e-5:
            raise UserError(
                f"{run.run_dir}: its kept predictions give an accuracy of "
                f"{run.correct.mean():.5f} and its result says {run.metrics[metric]:.5f}; "
                "evaluate or train the run again"
            )
    return next(iter(sizes))


def _compare(
    study: Study,
    summaries: dict[Key, Summary],
    look: Look | None,
    by_example: bool,
    with_outcomes: bool,
) -> dict[Key, Comparison]:
    keys = [key for key in summaries if key[1] != study.baseline]
    pairs = {
        key: pair(summaries[key].runs, summaries[key[0], study.baseline].runs, study.metric)
        for key in keys
    }
    results = verdicts(
        [difference(pairs[key], by_example) for key in keys],
        study.margin,
        alpha=ALPHA,
        higher_is_better=study.higher_is_better,
        look=look,
    )
    dunnett_p = _dunnett(study, summaries)
    compared = {}
    for key, result in zip(keys, results, strict=True):
        done = result.kind != "unranked"
        other = checks(pairs[key], with_outcomes, dunnett_p.get(key)) if done else None
        compared[key] = Comparison(summaries[key].arm, result, pairs[key].by_seed, other)
    return compared


def _rankable(study: Study, summaries: dict[Key, Summary], network: str) -> list[Summary]:
    """The arms of a network with enough seeds, the baseline first; [] without a baseline."""
    names = [study.baseline, *(a.name for a in study.of_network(network))]
    chosen = [summaries[network, name] for name in dict.fromkeys(names)]
    if len(chosen[0].runs) < FEWEST_SEEDS:
        return []
    return [summary for summary in chosen if len(summary.runs) >= FEWEST_SEEDS]


def _dunnett(study: Study, summaries: dict[Key, Summary]) -> dict[Key, float]:
    p_values = {}
    for network in study.networks:
        baseline, *others = _rankable(study, summaries, network) or [None]
        if not others or not any(np.ptp(s.values) for s in (baseline, *others)):
            continue
        found = dunnett([s.values for s in others], baseline.values)
        p_values |= {(network, s.arm.name): float(p) for s, p in zip(others, found, strict=True)}
    return p_values


def _noise_floors(
    study: Study, summaries: dict[Key, Summary], examples: int | None
) -> dict[str, float]:
    if examples is None:
        return {}
    baselines = {network: summaries[network, study.baseline] for network in study.networks}
    return {n: noise_floor(s.mean, examples) for n, s in baselines.items() if s.runs}


def _resolvable(study: Study, comparisons: dict[Key, Comparison]) -> dict[str, float]:
    resolvable = {}
    for network in study.networks:
        found = [
            resolvable_difference(c.verdict.difference, ALPHA / len(comparisons))
            for key, c in comparisons.items()
            if key[0] == network and c.verdict.kind != "unranked"
        ]
        if found:
            resolvable[network] = float(np.median(found))
    return resolvable


def _orders(study: Study, summaries: dict[Key, Summary]) -> dict[str, Order]:
    orders = {}
    sign = 1 if study.higher_is_better else -1
    for network in study.networks:
        ranked = sorted(
            _rankable(study, summaries, network), key=lambda s: s.mean * sign, reverse=True
        )
        if len(ranked) < 2:
            continue
        by_seed = [{r.seed: r.metrics[study.metric] * sign for r in s.runs} for s in ranked]
        common = [seed for seed in by_seed[0] if all(seed in values for values in by_seed)]
        agreement = None
        if len(common) >= 3 and len(ranked) >= 3:
            agreement = kendalls_w(np.array([[v[seed] for seed in common] for v in by_seed]))
        orders[network] = Order(
            tuple(s.arm.name for s in ranked),
            rank_distribution([s.values * sign for s in ranked]),
            agreement,
        )
    return orders


def _across(study: Study, summaries: dict[Key, Summary]) -> tuple[AcrossNetworks, ...]:
    if len(study.networks) < 2:
        return ()
    ranked = [_rankable(study, summaries, network) for network in study.networks]
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
    def gain(arm, baseline):
        return iqm(arm) - iqm(baseline)

    def improvement(arm, baseline):
        better, other = (arm, baseline) if higher else (baseline, arm)
        return probability_of_improvement(better, other)

    return AcrossNetworks(
        name,
        (float(gain(arm, baseline)), *stratified_interval(gain, arm, baseline)),
        (float(improvement(arm, baseline)), *stratified_interval(improvement, arm, baseline)),
    )
