"""Numbers and verdicts in words: the same in every format of the report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cnn.ablation.analysis.effects import Effect
from cnn.ablation.analysis.statistics.verdict import FEWEST_SEEDS, JUDGED
from cnn.ablation.analysis.study_analysis import Analysis, Comparison, Summary
from cnn.ablation.analysis.study_results import Arm, Study
from cnn.config.metric import METRICS, Metric

SYMBOLS = {
    "better": "▲",
    "worse": "▼",
    "equivalent": "■",
    "undecided": "○",
    "unstable": "✕",
    "interim": "…",
    "unranked": "·",
    "baseline": "◆",
}
MINUS = "\N{MINUS SIGN}"
MANY_SEEDS = 1000  # beyond this a number of further seeds is not given exactly
NONE = "\N{EN DASH}"  # where there is no number


@dataclass(frozen=True)
class Unit:
    """How values of a metric, and their differences, are written."""

    metric: Metric

    @property
    def title(self) -> str:
        """The metric's name for a heading."""
        return self.metric.label

    @property
    def name(self) -> str:
        """The metric's name within a sentence; abbreviations stay as they are."""
        label = self.metric.label
        return label if label[1:2].isupper() else label[:1].lower() + label[1:]

    @property
    def of_differences(self) -> str:
        """Unit of differences; of percentages, percentage points."""
        return self.metric.difference_unit

    def value(self, value: float) -> str:
        """A value, such as "91.23 %"."""
        bare = self.bare(value)
        return f"{bare} {self.metric.unit}" if self.metric.unit and bare != NONE else bare

    def tick(self, value: float) -> str:
        """A round value on an axis."""
        return f"{self.metric.scale * value:g} {self.metric.unit}".rstrip()

    def bare(self, value: float) -> str:
        """A value without its unit."""
        if not math.isfinite(value):
            return NONE if math.isnan(value) else "∞"
        shown = self.metric.scale * value
        return f"{shown:.2f}" if self.metric.unit == "%" else f"{shown:.4g}"

    def difference(self, value: float, *, unit: bool = True) -> str:
        """A difference with its sign, such as "+0.84 pp"."""
        shown = self.metric.scale * value
        number = f"{shown:+.2f}" if self.metric.unit == "%" else f"{shown:+.3g}"
        number = "+0.00" if number == "-0.00" else number
        if not math.isfinite(value):
            number = "+∞" if value > 0 else "-∞"
        number = number.replace("-", MINUS)
        return f"{number} {self.of_differences}".rstrip() if unit else number

    def size(self, value: float) -> str:
        """A difference without a sign, such as "0.30 pp"."""
        return self.difference(abs(value))[1:]

    def interval(self, ends: tuple[float, float]) -> str:
        """An interval of a difference, without a unit."""
        return " to ".join(self.difference(end, unit=False) for end in ends)


def unit_of(metric: str) -> Unit:
    """The unit that the metric's entry declares; a metric without an entry is a plain number."""
    return Unit(METRICS.get(metric) or Metric(metric, metric, metric))


def p_value(p: float) -> str:
    """A p with two significant digits."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def digits(value: float) -> str:
    """A number with three significant digits, without an exponent."""
    places = 2 - int(f"{value:.2e}".partition("e")[2])
    return f"{round(value, places):.{max(places, 0)}f}"


def magnitude(value: float) -> tuple[float, str]:
    """The power of a thousand to write a number in, and its suffix: 1e6 and "M" of 41,200,000."""
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return size, suffix
    return 1.0, ""


def count(number: float | None) -> str:
    """A large number with a suffix, such as "41.2 M"; a dash if unknown."""
    if number is None:
        return NONE
    size, suffix = magnitude(number)
    return f"{number / size:.3g} {suffix}".rstrip()


def milliseconds(value: float | None) -> str:
    """A time given in milliseconds, such as "54.5 ms" or "1.08 s"; a dash if unknown."""
    if value is None:
        return NONE
    return f"{digits(value)} ms" if value < 999.5 else f"{digits(value / 1000)} s"


def plural(number: int, noun: str) -> str:
    """ "1 arm", "2 arms"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def full_name(network: str, name: str) -> str:
    """The name of an arm, with its network in a study of several."""
    return f"{network} / {name}" if network else name


def verdict_words(analysis: Analysis, comparison: Comparison) -> str:
    """The verdict in a few words, such as "better by 0.84 pp"."""
    verdict, unit = comparison.verdict, unit_of(analysis.study.metric)
    margin = unit.size(analysis.study.margin)
    if not verdict.judged:
        return f"{word(verdict.kind)}: {why_not_judged(analysis, comparison)}"
    estimate, cost = verdict.difference.estimate, at_what_cost(analysis, comparison.arm)
    if verdict.kind in ("better", "worse"):
        return f"{verdict.kind} by {unit.size(estimate)}{cost}"
    if verdict.kind == "equivalent":
        real = f", though a real {unit.difference(estimate)}" if verdict.different else ""
        return f"equivalent within {margin}{real}{cost}"
    return f"undecided: {_what_would_decide(analysis, comparison)}"


def split_verdict(analysis: Analysis, comparison: Comparison) -> tuple[str, str]:
    """The verdict as one word or two, and the rest of it."""
    kind = comparison.verdict.kind
    if kind in ("better", "worse"):
        return word(kind), at_what_cost(analysis, comparison.arm).lstrip(":, ")
    return word(kind), verdict_words(analysis, comparison).removeprefix(word(kind)).lstrip(": ")


def at_what_cost(analysis: Analysis, arm: Arm) -> str:
    """What a difference from the baseline comes with, such as ", at 3.8x the MACs: confounded"."""
    baseline = analysis.study.baseline_of(arm.network)
    pairs = (("MACs", arm.macs, baseline.macs), ("parameters", arm.params, baseline.params))
    ratios = [
        f"{_times(mine / other)} the {name}"
        for name, mine, other in pairs
        if name in arm.differs and mine and other
    ]
    cost = f", at {' and '.join(ratios)}" if ratios else ""
    return cost + (": confounded" if arm.confounded else "")


def _times(ratio: float) -> str:
    return f"{ratio:.1f}x" if ratio >= 0.95 else f"{ratio:.2g}x"


def word(kind: str) -> str:
    """The kind of a verdict as it is called in the report."""
    return "not ranked" if kind == "unranked" else kind


def why_not_judged(analysis: Analysis, comparison: Comparison) -> str:
    """What is missing for a verdict."""
    study, arm = analysis.study, comparison.arm
    summary = analysis.summaries[arm.network, arm.name]
    baseline = analysis.summaries[arm.network, study.baseline]
    if summary.diverged:
        return _lost(summary)
    if analysis.interim:
        return f"{summary.ended} of {study.analyses.seeds[0]} seeds have ended"
    if summary.crashed:
        return f"{_lost(summary)}; the same command trains them again"
    if baseline.diverged or baseline.crashed:
        return f"of the baseline, {_lost(baseline)}"
    whose, number = "", len(summary.runs)
    if number >= FEWEST_SEEDS:
        whose, number = "the baseline has ", len(baseline.runs)
    if number >= FEWEST_SEEDS:
        return f"not all {analysis.look.seeds} seeds are in"
    if number == 0:
        return f"{whose}no finished seed"
    return (
        f"{whose}{plural(number, 'finished seed')}; at least 3 are needed to estimate a standard "
        "deviation"
    )


def _lost(summary: Summary) -> str:
    """How many seeds diverged or crashed, such as "6 of 10 seeds diverged"."""
    told = [
        f"{len(runs)} of {plural(len(summary.arm.seeds), 'seed')} {what}"
        for runs, what in ((summary.diverged, "diverged"), (summary.crashed, "crashed"))
        if runs
    ]
    return listed(told)


def _what_would_decide(analysis: Analysis, comparison: Comparison | Effect) -> str:
    verdict = comparison.verdict
    if not verdict.difference.varies:
        return "its seeds do not differ, so no standard deviation can be estimated"
    if verdict.seeds_wanted is None:
        limited = f"limited by {_tested(analysis)}; " if verdict.difference.examples else ""
        return f"{limited}more seeds cannot help"
    more = verdict.seeds_wanted - min(verdict.difference.seeds)
    if verdict.examples_wanted is not None:
        seeds = f" with {plural(more, 'more seed')}" if more else ""
        wanted = f"about {verdict.examples_wanted:,}{seeds} should decide it"
        return f"limited by {_tested(analysis)}; more seeds alone cannot help ({wanted})"
    if more > MANY_SEEDS:
        return f"more than {MANY_SEEDS:,} more seeds needed"
    return f"about {plural(more, 'more seed')} should decide it"


def _tested(analysis: Analysis) -> str:
    """What the test set consists of, such as "2,000 test examples"."""
    units = analysis.study.units
    if units is None:
        return f"{analysis.examples:,} test examples"
    return f"{len(set(units.tolist())):,} independent test units"


def remarks(analysis: Analysis) -> list[tuple[str, str, str]]:
    """What limits the whole report: (kind, title, text), kind "doubt" or "remark"."""
    found = [
        ("doubt", "Verdicts in doubt.", doubt(analysis)),
        ("remark", "Interim." if analysis.interim else "Partial report.", status(analysis)),
        ("remark", "Registered before training.", _registered(analysis.study)),
        *(("remark", "Changed.", f"{said}.") for said in analysis.study.changed),
        *(("remark", "Mixed.", f"{said}.") for said in analysis.mixed),
        ("remark", "Narrower than planned.", population_note(analysis)),
        ("remark", "Race.", race(analysis)),
        ("remark", "Tuned.", tuned(analysis.study)),
    ]
    return [remark for remark in found if remark[2]]


def race(analysis: Analysis) -> str:
    """Which arms stopped at which analysis, and how many runs that saved; "" without a race."""
    study = analysis.study
    if not study.race:
        return ""
    told, planned = [], study.analyses.seeds
    for index, seeds in enumerate(planned):
        names = [full_name(a.network, a.name) for a in _rivals(study) if a.stopped == index]
        if names:
            verb = "was" if len(names) == 1 else "were"
            told.append(f"{listed(names)} {verb} stopped at analysis {index + 1} ({seeds} seeds)")
    saved = sum(planned[-1] - len(arm.seeds) for arm in study.arms)
    if not told:
        return f"no arm has stopped before {planned[-1]} seeds."
    return f"{'; '.join(told)}. That saves {saved} of {planned[-1] * len(study.arms)} runs."


def _rivals(study: Study) -> list[Arm]:
    return [arm for arm in study.arms if arm.name not in (study.baseline, study.aa_arm)]


def tuned(study: Study) -> str:
    """What every arm tried on the validation part, and what it is trained with."""
    if not study.tuning:
        return ""
    first = study.tuning[0]
    seeds = plural(len(first.tried[0][1]), "seed")
    chosen = "; ".join(f"{one.arm}: {', '.join(one.chosen)}" for one in study.tuning)
    return (
        f"Every arm tried the same {plural(len(first.tried), 'setting')} with {seeds} of their own "
        f"and took the best by {unit_of(first.metric).name} on the validation part: {chosen}."
    )


TUNING_HEADS = ("Arm", "Tried", "Validation", "Chosen")


def tuning_rows(study: Study) -> list[list[str]]:
    """Every setting of every arm: its fields, the mean over the tuning seeds, whether chosen."""
    rows = []
    for one in study.tuning:
        unit = unit_of(one.metric)
        for setting, values in one.tried:
            failed = values.count(None)
            mean = f"{plural(failed, 'seed')} failed" if failed else ""
            shown = mean or unit.value(sum(values) / len(values))
            rows.append([one.arm, " ".join(setting), shown, "yes" * (setting == one.chosen)])
    return rows


EFFECT_HEADS = ("Effect", "Verdict", "Difference", "Simultaneous", "Adjusted p")


def effect_rows(analysis: Analysis) -> list[list[str]]:
    """Every effect of the factors, in the order of `EFFECT_HEADS`."""
    unit, rows = unit_of(analysis.study.metric), []
    for effect in analysis.effects:
        verdict, numbers = effect.verdict, [NONE] * 3
        if verdict.judged:
            numbers = [
                f"{unit.difference(verdict.difference.estimate)} "
                f"({unit.interval(verdict.interval)})",
                unit.interval(verdict.family_interval),
                p_value(verdict.adjusted_p),
            ]
        rows.append([effect_name(effect), word(verdict.kind), *numbers])
    return rows


def effect_name(effect: Effect) -> str:
    """An effect for a table, such as "reduction: max blur" or "reduction x augmentation: ..."."""
    factors = " x ".join(factor for factor, _, _ in effect.contrast.levels)
    return f"{factors}: {effect.contrast.name}"


def effect_sentence(analysis: Analysis, effect: Effect) -> str:
    """What can be said of an effect of the factors."""
    unit, verdict, network = unit_of(analysis.study.metric), effect.verdict, effect.contrast.network
    where = f"On {network}, " if network else ""
    (factor, level, reference), *second = effect.contrast.levels
    if second:
        _, other, other_reference = second[0]
        what = (
            f"{where}interaction: what {level} changes compared with {reference} is "
            f"{{}} with {other} than with {other_reference}"
        )
        same = f"the same with {other} and {other_reference}"
    else:
        [average] = [name for name, _ in analysis.study.factors if name != factor]
        what = f"{where}main effect, on average over {average}: {level} is {{}} than {reference}"
        same = f"equivalent to {reference}"
    start = what.partition("{}")[0]
    if not verdict.judged:
        return f"{start}{word(verdict.kind)}: not all seeds of its arms are in."
    difference = unit.difference(verdict.difference.estimate)
    if verdict.kind == "undecided":
        return f"{start}undecided ({difference}): {_what_would_decide(analysis, effect)}."
    if verdict.kind == "equivalent":
        return f"{start}{same} within {unit.size(analysis.study.margin)} ({difference})."
    return f"{what.format(verdict.kind)} ({difference})."


# What `match` changes in an arm, and what that makes equal.
_MATCHED = {
    "width": ("model.features", "MACs per example"),
    "macs": ("model.features", "MACs per example"),
    "parameters": ("model.features", "parameters"),
    "epochs": ("train.duration", "MACs of the whole training"),
    "time": ("train.duration", "training time"),
}


_COSTS = {"macs": "MACs", "parameters": "parameters", "time": "training time"}


def parts(analysis: Analysis) -> list[tuple[str, Analysis]]:
    """The tables of arms, each with its title: one, or as they are and at the baseline's cost.

    An arm without a copy costs as much as the baseline, so it is in both.
    """
    study = analysis.study
    if not study.matched:
        return [("", analysis)]
    copied = {arm.copy_of for arm in study.arms}
    arms = {(arm.network, arm.name): arm for arm in study.arms}
    as_is = {k: s for k, s in analysis.summaries.items() if not arms[k].copy_of}
    equal = {k: s for k, s in analysis.summaries.items() if arms[k].name not in copied}
    return [
        ("Arms as they are", replace(analysis, summaries=as_is)),
        (f"Arms at equal {_COSTS[study.matched]}", replace(analysis, summaries=equal)),
    ]


def matching(study: Study) -> str:
    """What arms were matched by, and the values that this gave them; "" if they were not."""
    if not (study.match or study.matched):
        return ""
    field, equal = _MATCHED[study.match or study.matched]
    values = [
        f"{full_name(arm.network, arm.name)} {text.partition('=')[2]}"
        for arm in study.arms
        for text in arm.overrides
        if text.startswith(f"{field}=") and arm.name not in (study.baseline, study.aa_arm)
        if arm.copy_of or not study.matched
    ]
    return f"Arms are matched to {study.baseline} in {equal} by {field}: {'; '.join(values)}."


def load_note(study: Study) -> str:
    """What step times are worth; "" where each run had the machine to itself."""
    if not study.under_load:
        return ""
    return "Step times are under load: other runs of the study trained at the same time."


def _registered(study: Study) -> str:
    if not study.registered:
        return ""
    since = "with the changes below" if study.changed else "and nothing changed since"
    return f"SHA-256 {study.registered}, {since}."


def provenance(study: Study) -> list[tuple[str, str]]:
    """How to reproduce: (term, value) of what is known."""
    versions = ", ".join(f"{name} {version}" for name, version in study.versions.items())
    facts = [
        ("Command", study.command),
        ("Base config", study.base_config),
        ("Commit", study.commit),
        ("Hardware", study.hardware),
        ("Versions", versions),
    ]
    return [fact for fact in facts if fact[1]]


def status(analysis: Analysis) -> str:
    """ "" if every run has ended, else what is missing and what that means."""
    study = analysis.study
    if not study.unfinished:
        return ""
    runs = sum(len(arm.seeds) for arm in study.arms)
    ended = f"{runs - study.unfinished} of {runs} runs have ended"
    if analysis.look is not None:
        number = analysis.look.index + 1
        return (
            f"{ended}. This is analysis {number} of {len(study.analyses.seeds)}, at "
            f"{analysis.look.seeds} seeds; its verdicts are valid."
        )
    return (
        f"{ended}. There are no verdicts before the planned analysis at "
        f"{study.analyses.seeds[0]} seeds: those that are read early are false more often than "
        "5 %."
    )


def population(analysis: Analysis) -> str:
    """The scope of inference of the verdicts."""
    if analysis.population == "seeds and examples":
        return "new seeds and new test examples from the same distribution"
    return "new seeds on this fixed test set"


def population_note(analysis: Analysis) -> str:
    """Why the scope of inference is narrower than planned; "" if it is not."""
    if analysis.population == analysis.study.population:
        return ""
    return (
        "Inference is over seeds only, for this fixed test set, because not every run kept its "
        "per-example outcomes of the metric."
    )


def rule(analysis: Analysis) -> list[str]:
    """The decision rule, one statement each."""
    study, unit = analysis.study, unit_of(analysis.study.metric)
    margin = unit.size(study.margin)
    number = len(analysis.family) + len(analysis.effects)
    several, family = number != 1, plural(number, "comparison")
    effects = " (arms and effects of the factors)" if analysis.effects else ""
    times = listed([str(seeds) for seeds in study.analyses.seeds])
    units = f" Only examples of different units ({study.unit}) are independent."
    return [
        f"Every arm is compared with {study.baseline}. The family-wise error rate is held at 5 % "
        f"over {'the ' if several else ''}{family}{effects}, of which the planned end spends "
        f"3.5 %, and the rest is kept for seeds that are added later. Analyzed at {times} seeds.",
        "Better, worse: the null hypothesis of no difference is rejected (Student's t over seeds, "
        "with the variance of the test examples added; Holm's adjustment). An arm takes its own "
        "variance over seeds, or that of all arms if it is larger.",
        f"Equivalent: the difference is within the equivalence margin of {margin} (two one-sided "
        "tests, Holm's adjustment).",
        "Undecided: neither could be shown. The number of further seeds, or of test examples, "
        "would decide, either way, with 80 % power if the observed differences and standard "
        "deviations are the true ones.",
        "Unstable: at least one seed diverged. An arm is judged only if every planned seed of its "
        "own and of the baseline has a finite metric. Crashed runs leave it not ranked until they "
        "are trained again, and so do fewer than 3 seeds.",
        f"Scope of inference: {population(analysis)}.{units if study.unit else ''} "
        f"{_pairing(analysis)}",
        "Confounded: beside the operator that it is about, an arm differs from the baseline in "
        "more than one of parameters, MACs, receptive field, normalization, non-linearities, "
        "whether a maximum is taken, the sampling, further sites, and the training recipe.",
        "Differences that are reported because they are significant are too large on average; "
        "corrected estimates (report.csv) take that out.",
    ]


def _pairing(analysis: Analysis) -> str:
    if not analysis.study.paired:
        return "Seeds are independent between arms, those of the A/A control as well."
    unpaired = [c.arm.name for c in analysis.comparisons.values() if not c.by_seed]
    but = f", but for {listed(unpaired)}, which ran other seeds" if unpaired else ""
    return f"The study declares its seeds paired: arms are compared seed by seed{but}."


def doubt(analysis: Analysis) -> str:
    """ "" unless an A/A arm came out different."""
    found = analysis.doubtful
    if not found:
        return ""
    unit = unit_of(analysis.study.metric)
    differences = listed(
        [
            f"{full_name(c.arm.network, c.arm.name)} by "
            f"{unit.difference(c.verdict.difference.estimate)} "
            f"(adjusted p {p_value(c.verdict.adjusted_p)})"
            for c in found
        ]
    )
    return (
        "The A/A control repeats the baseline with other seeds, yet it differs significantly: "
        f"{differences}. Either this is a false positive, of which there is one in at most 5 % of "
        "studies, or something else changed between the arms. Every verdict below is in doubt."
    )


def headline(analysis: Analysis) -> list[tuple[str, str]]:
    """The verdicts in words: (kind, sentence) by network and kind, the most useful kinds first."""
    sentences = []
    for network in analysis.study.networks:
        compared = [c for c in analysis.family if c.arm.network == network]
        where = f"On {network}, " if network else ""
        for kind in (*JUDGED, "unstable", "interim", "unranked"):
            chosen = [c for c in compared if c.verdict.kind == kind]
            # Arms that are undecided or not ranked for one reason share a sentence.
            for reason in dict.fromkeys(_reason(analysis, c) for c in chosen):
                alike = [c for c in chosen if _reason(analysis, c) == reason]
                sentences.append((kind, where + _sentence(analysis, kind, alike, reason)))
    effects = [(e.verdict.kind, effect_sentence(analysis, e)) for e in analysis.effects]
    return [*effects, *sentences]


def _reason(analysis: Analysis, comparison: Comparison) -> str:
    """Why there is no verdict; "" where there is one."""
    if not comparison.verdict.judged:
        return why_not_judged(analysis, comparison)
    undecided = comparison.verdict.kind == "undecided"
    return _what_would_decide(analysis, comparison) if undecided else ""


def _sentence(analysis: Analysis, kind: str, chosen: list[Comparison], reason: str) -> str:
    unit, baseline = unit_of(analysis.study.metric), analysis.study.baseline
    verb = "is" if len(chosen) == 1 else "are"
    if reason:
        costs = (at_what_cost(analysis, c.arm).lstrip(",: ") for c in chosen)
        names = [
            f"{c.arm.name} ({cost})" if cost and kind == "undecided" else c.arm.name
            for c, cost in zip(chosen, costs, strict=True)
        ]
        return f"{listed(names)} {verb} {word(kind)}: {reason}."
    chosen = sorted(chosen, key=lambda c: -abs(c.verdict.difference.estimate))
    names = [
        f"{c.arm.name} ({unit.difference(c.verdict.difference.estimate)}"
        f"{at_what_cost(analysis, c.arm)})"
        for c in chosen
    ]
    if kind == "equivalent":
        margin = unit.size(analysis.study.margin)
        return f"{listed(names)} {verb} equivalent to {baseline} within {margin}."
    return f"{listed(names)} {verb} {kind} than {baseline}."


def control(analysis: Analysis) -> str:
    """What the A/A control shows, when it gives no reason for doubt; "" without one."""
    judged = [c for c in analysis.controls if c.verdict.judged]
    if not judged or analysis.doubtful:
        return ""
    kinds = listed(list(dict.fromkeys(c.verdict.kind for c in judged)))
    return f"A/A control (the baseline with other seeds): no significant difference ({kinds})."


def failures(analysis: Analysis) -> list[str]:
    """One sentence for each arm that has runs without a result."""
    sentences = []
    for (network, name), summary in analysis.summaries.items():
        lost = (*summary.diverged, *summary.crashed)
        if not lost:
            continue
        reasons = dict.fromkeys(
            run.error or f"its {analysis.study.metric} is not finite" for run in lost
        )
        seeds = listed([str(run.seed) for run in lost])
        told = f"{full_name(network, name)}: {_lost(summary)} (seed {seeds})"
        sentences.append(f"{told}: {'; '.join(reasons)}")
    return sentences
