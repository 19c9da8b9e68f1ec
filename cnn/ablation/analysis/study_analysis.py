"""A study -> the verdict on each arm, its uncertainty, and checks by other methods."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cnn.ablation.analysis.comparison import Checks, Pair, checks, sample_of
from cnn.ablation.analysis.effects import Contrast, Effect, contrasts, effect_of
from cnn.ablation.analysis.pairs import Key, analyses_of, examples_of, finite, pairs_of
from cnn.ablation.analysis.race import raced
from cnn.ablation.analysis.ranking import (
    AcrossNetworks,
    RankStability,
    across_networks,
    rank_stability,
    rankable,
)
from cnn.ablation.analysis.study_results import Arm, Study
from cnn.ablation.analysis.summary import Summary, summary_of
from cnn.ablation.planning.study_plan import Population
from cnn.ablation.statistics.difference import Difference
from cnn.ablation.statistics.power import detectable_difference, noise_floor
from cnn.ablation.statistics.significance import dunnett
from cnn.ablation.statistics.verdict import (
    FEWEST_SEEDS,
    InterimAnalysis,
    Verdict,
    VerdictKind,
    judge,
    verdicts,
)

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """One arm against the baseline of its network.

    Attributes:
      arm: as given.
      verdict: on it.
      by_seed: whether it was paired with the baseline by seed.
      checks: the same comparison by other methods; None for an arm that is not judged.
    """

    arm: Arm
    verdict: Verdict
    by_seed: bool
    checks: Checks | None


@dataclass(frozen=True)
class Analysis:
    """All numbers of the report.

    Attributes:
      study: as given.
      population: scope of inference of the verdicts.
      summaries: of every arm.
      comparisons: of every arm but the baselines.
      effects: of the factors of the study, if it crosses two.
      current: the planned analysis that this is; None before the first, when nothing is judged.
      examples: of the test set; None if outcomes were not kept.
      noise_floor: standard deviation of one run's accuracy, by network; empty if not known.
      detectable: minimum detectable effect of the finished seeds (80 % power, at the strictest
        level of the family), by network: the median over its arms.
      orders: by network; only of networks with 2 arms or more that can be ranked.
      across: of every arm that all networks can rank, in a study of several networks.
      provenance: (title, sentence) for runs of several commits or kinds of hardware, and for
        uncommitted changes.
    """

    study: Study
    population: Population
    summaries: dict[Key, Summary]
    comparisons: dict[Key, Comparison]
    effects: tuple[Effect, ...]
    current: InterimAnalysis | None
    examples: int | None
    noise_floor: dict[str, float]
    detectable: dict[str, float]
    orders: dict[str, RankStability]
    across: tuple[AcrossNetworks, ...]
    provenance: tuple[tuple[str, str], ...]

    @property
    def interim(self) -> bool:
        """Whether no analysis is due yet."""
        return self.current is None

    @property
    def family(self) -> tuple[Comparison, ...]:
        """The comparisons over which the error rate is controlled: all but the A/A controls."""
        name = self.study.aa_arm
        return tuple(c for c in self.comparisons.values() if c.arm.name != name)

    @property
    def controls(self) -> tuple[Comparison, ...]:
        """The baselines against themselves with other seeds."""
        name = self.study.aa_arm
        return tuple(c for c in self.comparisons.values() if c.arm.name == name)

    @property
    def doubtful(self) -> tuple[Comparison, ...]:
        """The A/A comparisons with a significant difference, where there should be none."""
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
    current, examples, summaries = _summarized(study)
    by_example = examples is not None and study.population == "seeds and examples"
    comparisons, effects = _compare(study, summaries, current, by_example, examples is not None)
    return Analysis(
        study=study,
        population="seeds and examples" if by_example else "seeds",
        summaries=summaries,
        comparisons=comparisons,
        effects=effects,
        current=current,
        examples=examples,
        noise_floor=_noise_floors(study, summaries, examples),
        detectable=_detectable(study, comparisons),
        orders=rank_stability(study, summaries),
        across=across_networks(study, summaries),
        provenance=provenance_limits(study),
    )


def kinds(study: Study) -> dict[Key, VerdictKind]:
    """The kinds of the verdicts of `analyze`, without intervals, power analysis and checks.

    Effects of factors are keyed by the names of their levels instead of the name of an arm.
    """
    return {key: verdict.kind for key, verdict in _all_judged(study, judge).items()}


def full_verdicts(study: Study) -> dict[Key, Verdict]:
    """The verdicts of `analyze` alone, without its summaries and checks."""
    return _all_judged(study, verdicts)


def _all_judged(study: Study, rule: Callable[..., list[Verdict]]) -> dict[Key, Verdict]:
    study = raced(study) if study.race else study
    current, examples, summaries = _summarized(study)
    by_example = examples is not None and study.population == "seeds and examples"
    pairs = pairs_of(study, current, examples is not None) if current else {}
    effects = _effects(study, current, by_example, examples is not None)
    found, of_effects = _judged(study, summaries, pairs, effects, current, by_example, rule)
    named = {(e.contrast.network, e.contrast.name): e.verdict for e in of_effects}
    return found | named


def _summarized(study: Study) -> tuple[InterimAnalysis | None, int | None, dict[Key, Summary]]:
    """Returns the current analysis, the size of the test set, and the summary of every arm."""
    current = _current_analysis(study)
    seeds = current.seeds if current else None
    examples = examples_of(study, seeds)
    summaries = {
        (arm.network, arm.name): summary_of(arm, study, seeds, examples is not None)
        for arm in study.arms
    }
    return current, examples, summaries


def provenance_limits(study: Study) -> tuple[tuple[str, str], ...]:
    """Reports runs of several commits or kinds of hardware, and runs with uncommitted changes."""
    runs = [run for arm in study.arms for run in arm.seeds if run.status == "finished"]
    found = []
    for name, plural, value in (
        ("commit", "commits", lambda run: run.commit),
        ("hardware", "kinds of hardware", lambda run: run.hardware),
    ):
        counts = Counter(value(run) for run in runs)
        if len(counts) > 1:
            each = (f"{made or f'{name} not known'} ({n} runs)" for made, n in counts.items())
            found.append(("Mixed.", f"runs of {len(counts)} {plural}: {'; '.join(each)}"))
    changed = sum(run.commit.endswith("+") for run in runs)
    if changed and changed == len(runs):
        sentence = f"All {changed} runs were trained with uncommitted changes"
        found.append(("Uncommitted changes.", sentence))
    elif changed:
        share = f"{changed} of {len(runs)} runs"
        found.append(("Mixed.", f"{share} were trained with uncommitted changes"))
    return tuple(found)


def _current_analysis(study: Study) -> InterimAnalysis | None:
    """Returns the last analysis whose seeds have ended in every arm; None before the first."""
    schedule = study.analyses
    most = max(len(arm.seeds) for arm in study.arms)

    def ended(seeds: int) -> bool:
        runs = (run for arm in study.arms for run in arm.seeds[:seeds])
        return seeds <= most and all(run.ended for run in runs)

    reached = [i for i, seeds in enumerate(schedule.seeds) if ended(seeds)]
    return InterimAnalysis(reached[-1], schedule) if reached else None


def _compare(
    study: Study,
    summaries: dict[Key, Summary],
    current: InterimAnalysis | None,
    by_example: bool,
    with_outcomes: bool,
) -> tuple[dict[Key, Comparison], tuple[Effect, ...]]:
    pairs = pairs_of(study, current, with_outcomes) if current else {}
    sizes = _effects(study, current, by_example, with_outcomes)
    judged, effects = _judged(study, summaries, pairs, sizes, current, by_example, verdicts)
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
    study: Study, current: InterimAnalysis | None, by_example: bool, with_outcomes: bool
) -> dict[Contrast, Difference | None]:
    """Returns every effect of the factors; None where it cannot be judged yet."""
    found: dict[Contrast, Difference | None] = {}
    for contrast in contrasts(study.factors, study.networks) if study.factors else ():
        seeds = current.seeds if current else 0
        runs = {a.name: finite(a, study.metric, seeds) for a in study.of_network(contrast.network)}
        samples = {
            name: sample_of(each, study.metric, with_outcomes)
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
    current: InterimAnalysis | None,
    by_example: bool,
    rule: Callable[..., list[Verdict]],
) -> tuple[dict[Key, Verdict], tuple[Effect, ...]]:
    """Applies `verdicts` or `judge`; arms that cannot be judged are unstable, interim or unranked.

    Arms and effects form one family, A/A controls another.
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
            analysis=[*analyses_of(study, family, current), *[current] * len(more)],
        )
        judged |= dict(zip(family, found[: len(family)], strict=True))
        of_effects += found[len(family) :]
    unjudged = Verdict("interim" if current is None else "unranked")
    effect_verdicts = (verdict if verdict.judged else unjudged for verdict in of_effects)
    return {
        key: found if key in pairs else Verdict(_unjudged(summaries[key], current))
        for key, found in judged.items()
    }, tuple(
        Effect(contrast, verdict)
        for contrast, verdict in zip(effects, effect_verdicts, strict=True)
    )


def _possible(found: Verdict) -> Verdict:
    """Clips the intervals of a difference between proportions to [-1, 1]."""
    both = (tuple(np.clip(ends, -1, 1)) for ends in (found.interval, found.family_interval))
    interval, family_interval = both
    return replace(found, interval=interval, family_interval=family_interval)


def _unjudged(summary: Summary, current: InterimAnalysis | None) -> VerdictKind:
    """The kind of an arm that cannot be judged, or whose baseline cannot."""
    if summary.diverged:
        return "unstable"
    return "interim" if current is None else "unranked"


def _dunnett(study: Study, summaries: dict[Key, Summary]) -> dict[Key, float]:
    p_values = {}
    for network in study.networks:
        baseline, *others = rankable(study, summaries, network) or [None]
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


def _detectable(study: Study, comparisons: dict[Key, Comparison]) -> dict[str, float]:
    detectable = {}
    family = [c for c in comparisons.values() if c.arm.name != study.aa_arm]
    for network in study.networks:
        found = [
            detectable_difference(c.verdict.difference, ALPHA / len(family))
            for c in family
            if c.arm.network == network and c.verdict.judged
        ]
        if found:
            detectable[network] = float(np.median(found))
    return detectable
