"""A study -> what can be said of each arm, and how far it can be trusted."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cnn.ablation.analysis.comparison import Checks, Pair, Sample, checks, sample
from cnn.ablation.analysis.effects import Contrast, Effect, contrasts, effect_of
from cnn.ablation.analysis.pairs import Key, examples_of, finite, looks_of, pairs_of
from cnn.ablation.analysis.race import raced
from cnn.ablation.analysis.statistics.across import (
    iqm,
    kendalls_w,
    probability_of_improvement,
    rank_distribution,
    stratified_interval,
)
from cnn.ablation.analysis.statistics.difference import Difference, mean_interval, share_interval
from cnn.ablation.analysis.statistics.power import noise_floor, resolvable_difference
from cnn.ablation.analysis.statistics.significance import dunnett
from cnn.ablation.analysis.statistics.verdict import (
    FEWEST_SEEDS,
    InterimAnalysis,
    Verdict,
    VerdictKind,
    judge,
    verdicts,
)
from cnn.ablation.analysis.study_results import Arm, Population, SeedRun, Study

ALPHA = 0.05


@dataclass(frozen=True)
class Summary:
    """The runs of one arm that count.

    Attributes:
      arm: as given.
      runs: those with a finite metric, up to the current analysis.
      values: float `[runs]`, the metric.
      mean, low, high: with a 95 % interval over seeds, that of a share within 0 and 1; NaN without
        runs.
      diverged, crashed: the runs that ended without a finite metric. One whose metric is not finite
        diverged.
    """

    arm: Arm
    runs: tuple[SeedRun, ...]
    values: np.ndarray
    mean: float
    low: float
    high: float
    diverged: tuple[SeedRun, ...]
    crashed: tuple[SeedRun, ...]

    @property
    def ended(self) -> int:
        """How many runs have ended, well or badly."""
        return len(self.runs) + len(self.diverged) + len(self.crashed)


@dataclass(frozen=True)
class Comparison:
    """One arm against the baseline of its network.

    Attributes:
      arm: as given.
      verdict: on it.
      by_seed: whether it was paired with the baseline by seed.
      checks: by other methods; None for an arm that is not judged.
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
      gain: interquartile mean of the metric, each network's relative to the mean of its baseline,
        arm minus baseline.
      improvement: chance that a run of the arm is better than one of the baseline.
    """

    name: str
    gain: tuple[float, float, float]
    improvement: tuple[float, float, float]


@dataclass(frozen=True)
class RankStability:
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
    """Everything that the report says in numbers.

    Attributes:
      study: as given.
      population: what the verdicts speak for.
      summaries: of every arm.
      comparisons: of every arm but the baselines.
      effects: of the factors of the study, if it crosses two.
      look: which analysis this is; None before the first is due, so that nothing is judged yet.
      examples: of the test set; None if outcomes were not kept.
      noise_floor: of one run's accuracy, by network; empty if not known.
      resolvable: minimum detectable effect of the finished seeds (80 % power, at the strictest
        level of the family), by network: the median over its arms.
      orders: by network; only of networks with 2 arms or more that can be ranked.
      across: of every arm that all networks can rank, in a study of several networks.
      mixed: one sentence for each thing that not all runs were made with, and for uncommitted
        changes.
    """

    study: Study
    population: Population
    summaries: dict[Key, Summary]
    comparisons: dict[Key, Comparison]
    effects: tuple[Effect, ...]
    look: InterimAnalysis | None
    examples: int | None
    noise_floor: dict[str, float]
    resolvable: dict[str, float]
    orders: dict[str, RankStability]
    across: tuple[AcrossNetworks, ...]
    mixed: tuple[str, ...]

    @property
    def interim(self) -> bool:
        """Whether no analysis is due yet."""
        return self.look is None

    @property
    def family(self) -> tuple[Comparison, ...]:
        """The comparisons that share the error: all but the A/A controls."""
        name = self.study.aa_arm
        return tuple(c for c in self.comparisons.values() if c.arm.name != name)

    @property
    def controls(self) -> tuple[Comparison, ...]:
        """The baselines against themselves with other seeds."""
        name = self.study.aa_arm
        return tuple(c for c in self.comparisons.values() if c.arm.name == name)

    @property
    def doubtful(self) -> tuple[Comparison, ...]:
        """The A/A comparisons that came out different, which they should not."""
        return tuple(c for c in self.controls if c.verdict.different)


def analyze(study: Study) -> Analysis:
    """Judges a study by the rule of `statistics/verdict.py`.

    Arms are compared as independent sets of seeds, unless the study declares its seeds paired and
    an arm and its baseline have run the same ones.

    Raises:
      UserError: a finished run lacks the metric, or outcomes of runs are not about the same
        examples.
    """
    study = raced(study) if study.race else study
    look, examples, summaries = _summarized(study)
    by_example = examples is not None and study.population == "seeds and examples"
    comparisons, effects = _compare(study, summaries, look, by_example, examples is not None)
    return Analysis(
        study=study,
        population="seeds and examples" if by_example else "seeds",
        summaries=summaries,
        comparisons=comparisons,
        effects=effects,
        look=look,
        examples=examples,
        noise_floor=_noise_floors(study, summaries, examples),
        resolvable=_resolvable(study, comparisons),
        orders=_orders(study, summaries),
        across=_across(study, summaries),
        mixed=mixed_provenance(study),
    )


def kinds(study: Study) -> dict[Key, VerdictKind]:
    """The verdicts of `analyze` in a word each, without intervals, advice and checks.

    Effects of factors have the names of their levels in place of that of an arm.
    """
    return {key: verdict.kind for key, verdict in _all_judged(study, judge).items()}


def full_verdicts(study: Study) -> dict[Key, Verdict]:
    """The verdicts of `analyze` alone, without its summaries and checks."""
    return _all_judged(study, verdicts)


def _all_judged(study: Study, rule: Callable[..., list[Verdict]]) -> dict[Key, Verdict]:
    study = raced(study) if study.race else study
    look, examples, summaries = _summarized(study)
    by_example = examples is not None and study.population == "seeds and examples"
    pairs = pairs_of(study, look, examples is not None) if look else {}
    effects = _effects(study, look, by_example, examples is not None)
    found, of_effects = _judged(study, summaries, pairs, effects, look, by_example, rule)
    named = {(e.contrast.network, e.contrast.name): e.verdict for e in of_effects}
    return found | named


def _summarized(study: Study) -> tuple[InterimAnalysis | None, int | None, dict[Key, Summary]]:
    """Returns the analysis that is due, the size of the test set, and the runs that count."""
    look = _current_look(study)
    seeds = look.seeds if look else None
    examples = examples_of(study, seeds)
    summaries = {
        (arm.network, arm.name): _summarize(arm, study, seeds, examples is not None)
        for arm in study.arms
    }
    return look, examples, summaries


def mixed_provenance(study: Study) -> tuple[str, ...]:
    """Says what the runs of a study do not have in common, and which code nobody can get again."""
    runs = [run for arm in study.arms for run in arm.seeds if run.status == "finished"]
    told = []
    for name, plural, value in (
        ("commit", "commits", lambda run: run.commit),
        ("hardware", "kinds of hardware", lambda run: run.hardware),
    ):
        counts = Counter(value(run) for run in runs)
        if len(counts) > 1:
            each = (f"{made or f'{name} not known'} ({n} runs)" for made, n in counts.items())
            told.append(f"runs of {len(counts)} {plural}: {'; '.join(each)}")
    changed = sum(run.commit.endswith("+") for run in runs)
    if changed:
        told.append(f"{changed} of {len(runs)} runs were trained with uncommitted changes")
    return tuple(told)


def _current_look(study: Study) -> InterimAnalysis | None:
    """Returns the last analysis whose seeds have all ended, in every arm; None before the first."""
    schedule = study.analyses
    most = max(len(arm.seeds) for arm in study.arms)

    def ended(seeds: int) -> bool:
        runs = (run for arm in study.arms for run in arm.seeds[:seeds])
        return seeds <= most and all(run.ended for run in runs)

    reached = [i for i, seeds in enumerate(schedule.seeds) if ended(seeds)]
    return InterimAnalysis(reached[-1], schedule) if reached else None


def _summarize(arm: Arm, study: Study, seeds: int | None, with_outcomes: bool) -> Summary:
    runs, counted = finite(arm, study.metric, seeds), arm.seeds[:seeds]
    lost = [run for run in counted if run.status == "finished" and run not in runs]
    diverged = tuple(run for run in counted if run.status == "diverged" or run in lost)
    one = sample(runs, study.metric, with_outcomes)
    return Summary(
        arm,
        runs,
        one.values,
        *_interval(one, study),
        diverged=diverged,
        crashed=tuple(run for run in counted if run.status == "crashed"),
    )


def _interval(one: Sample, study: Study) -> tuple[float, float, float]:
    if not one.runs:
        return (float("nan"),) * 3
    if study.described.unit == "%":
        return share_interval(one.values, one.floor)
    return mean_interval(one.values)


def _compare(
    study: Study,
    summaries: dict[Key, Summary],
    look: InterimAnalysis | None,
    by_example: bool,
    with_outcomes: bool,
) -> tuple[dict[Key, Comparison], tuple[Effect, ...]]:
    pairs = pairs_of(study, look, with_outcomes) if look else {}
    sizes = _effects(study, look, by_example, with_outcomes)
    judged, effects = _judged(study, summaries, pairs, sizes, look, by_example, verdicts)
    dunnett_p = _dunnett(study, summaries)
    results = {}
    for key, result in judged.items():
        arm, one = summaries[key].arm, pairs.get(key)
        if one is None:
            results[key] = Comparison(arm, result, False, None)
        else:
            other = checks(one, dunnett_p.get(key), study.units is not None)
            if study.described.unit == "%":
                result = _possible(result)
            results[key] = Comparison(arm, result, one.by_seed, other)
    return results, effects


def _effects(
    study: Study, look: InterimAnalysis | None, by_example: bool, with_outcomes: bool
) -> dict[Contrast, Difference | None]:
    """Returns the size of every effect of the factors; None where it cannot be judged yet."""
    found: dict[Contrast, Difference | None] = {}
    for contrast in contrasts(study.factors, study.networks) if study.factors else ():
        seeds = look.seeds if look else 0
        runs = {a.name: finite(a, study.metric, seeds) for a in study.of_network(contrast.network)}
        samples = {
            name: sample(each, study.metric, with_outcomes)
            for name, each in runs.items()
            if len(each) == seeds >= FEWEST_SEEDS
        }
        found[contrast] = effect_of(contrast, samples, study.paired, by_example, study.units)
    return found


def _judged(
    study: Study,
    summaries: dict[Key, Summary],
    pairs: dict[Key, Pair],
    effects: dict[Contrast, Difference | None],
    look: InterimAnalysis | None,
    by_example: bool,
    rule: Callable[..., list[Verdict]],
) -> tuple[dict[Key, Verdict], tuple[Effect, ...]]:
    """Applies `verdicts` or `judge` to what can be judged; says why other arms cannot.

    Arms and effects are one family, but for the A/A controls.
    """
    keys = [key for key in summaries if key[1] != study.baseline]
    judged, of_effects = dict.fromkeys(keys), []
    for controls in (False, True):
        family = [key for key in keys if (key[1] == study.aa_arm) == controls]
        more = [] if controls else list(effects.values())
        differences = [
            pairs[k].difference(by_example, study.units) if k in pairs else None for k in family
        ]
        found = rule(
            [*differences, *more],
            study.margin,
            alpha=ALPHA,
            higher_is_better=study.higher_is_better,
            look=[*looks_of(study, family, look), *[look] * len(more)],
        )
        judged |= dict(zip(family, found[: len(family)], strict=True))
        of_effects += found[len(family) :]
    unjudged = Verdict("interim" if look is None else "unranked")
    said = (verdict if verdict.judged else unjudged for verdict in of_effects)
    return {
        key: found if key in pairs else Verdict(_unjudged(summaries[key], look))
        for key, found in judged.items()
    }, tuple(Effect(contrast, verdict) for contrast, verdict in zip(effects, said, strict=True))


def _possible(found: Verdict) -> Verdict:
    """Cuts the intervals of a difference of shares where shares cannot differ by more."""
    both = (tuple(np.clip(ends, -1, 1)) for ends in (found.interval, found.family_interval))
    interval, family_interval = both
    return replace(found, interval=interval, family_interval=family_interval)


def _unjudged(summary: Summary, look: InterimAnalysis | None) -> VerdictKind:
    """What an arm is that cannot be judged, or whose baseline cannot."""
    if summary.diverged:
        return "unstable"
    return "interim" if look is None else "unranked"


def _rankable(study: Study, summaries: dict[Key, Summary], network: str) -> list[Summary]:
    """The arms of a network with enough seeds, the baseline first; [] without a baseline."""
    names = [study.baseline, *(a.name for a in study.of_network(network))]
    chosen = [summaries[network, name] for name in dict.fromkeys(names)]
    if len(chosen[0].runs) < FEWEST_SEEDS:
        return []
    return [s for s in chosen if len(s.runs) == s.ended >= FEWEST_SEEDS]


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
    family = [c for c in comparisons.values() if c.arm.name != study.aa_arm]
    for network in study.networks:
        found = [
            resolvable_difference(c.verdict.difference, ALPHA / len(family))
            for c in family
            if c.arm.network == network and c.verdict.judged
        ]
        if found:
            resolvable[network] = float(np.median(found))
    return resolvable


def _orders(study: Study, summaries: dict[Key, Summary]) -> dict[str, RankStability]:
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
        orders[network] = RankStability(
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
    # Networks differ by more than arms do: without this, whole networks would be trimmed.
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
