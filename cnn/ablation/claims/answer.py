"""A claim and a study -> replicated, smaller, refuted, undecided or not tested, by one rule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from cnn.ablation.analysis.study_analysis import full_verdicts
from cnn.ablation.analysis.study_results import Arm, Study
from cnn.ablation.claims.claim import Claim, Statement
from cnn.ablation.statistics.verdict import FEWEST_SEEDS, Verdict
from cnn.config.call import parse_call

Word = Literal["replicated", "smaller", "refuted", "undecided", "not tested"]
# A claim takes the first of these that any of its statements has.
_WORST_FIRST: tuple[Word, ...] = ("refuted", "undecided", "smaller", "replicated")
# Standard deviations within this factor count as equal.
FACTOR = 2.0
# One sentence per kind of statement, and how they make a claim.
RULE = (
    "Better: replicated if the difference is significant, not equivalent within the margin, and "
    "its 95 % interval reaches the published effect size, where one is stated; smaller if it is "
    "significant but falls short of that; refuted if the arm is equivalent or worse.",
    "Not worse, alike: replicated if the 95 % interval excludes a loss (not worse) or a "
    "difference (alike) of the margin; refuted if it lies entirely beyond the margin.",
    "Always: replicated if every run reaches 100 %; otherwise smaller if the arm is better than "
    "the baseline, else refuted.",
    "As variable, by the 95 % interval of the ratio of standard deviations over seeds: replicated "
    f"if it lies above 1/{FACTOR:g}, smaller if it also lies below 1; refuted if it lies below "
    f"1/{FACTOR:g}.",
    "Everything else is undecided; a statement whose arms or metric a study lacks is not tested.",
    "A claim takes the worst answer of its statements, in the order refuted, undecided or not "
    "tested, smaller, replicated. Refuted means: not at this scale.",
    "Statements of a claim about the same metric and baseline form one family (Holm, 5 %), which "
    "is smaller than that of a study, so that a claim can be decided where the study's verdict is "
    "not. Nothing is adjusted for the number of claims.",
)


@dataclass(frozen=True)
class Finding:
    """The result of a study on one statement.

    Attributes:
      statement: as published.
      word: the answer.
      estimate, interval: of the difference in stored units, or for "as variable" of the ratio of
        standard deviations; None if there is none.
      why: what is missing for an answer or a test; "" if nothing is.
    """

    statement: Statement
    word: Word
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    why: str = ""


@dataclass(frozen=True)
class Answer:
    """The answer of a study to a claim.

    Attributes:
      word: the answer.
      findings: of every statement.
    """

    word: Word
    findings: tuple[Finding, ...]


def answer(claim: Claim, study: Study, network: str = "") -> Answer:
    """Answers a claim from the runs of a study, by `RULE`.

    Args:
      claim: to answer.
      study: with some or all arms of the claim.
      network: of the study.
    """
    verdicts = _verdicts(claim, study, network)
    findings = tuple(_finding(s, claim, study, network, verdicts.get(s)) for s in claim.statements)
    words = {finding.word for finding in findings}
    if words == {"not tested"}:
        return Answer("not tested", findings)
    words = {"undecided" if word == "not tested" else word for word in words}
    return Answer(next(word for word in _WORST_FIRST if word in words), findings)


def find_arm(overrides: Sequence[str], claim: Claim, study: Study, network: str = "") -> Arm | None:
    """Returns the arm of a network that differs from its config as the overrides say, or None.

    Only fields that the claim is about are compared.
    """
    about = {text.partition("=")[0] for s in claim.statements for text in (*s.arm, *s.baseline)}
    arms = [arm for arm in study.of_network(network) if arm.name != study.aa_arm]
    for normal in (str, _name):
        wanted = _values(overrides, about, normal)
        for arm in arms:
            if _values(arm.overrides, about, normal) == wanted:
                return arm
    return None


def _values(
    overrides: Sequence[str], about: set[str], normal: Callable[[str], str]
) -> dict[str, str]:
    pairs = (text.partition("=")[::2] for text in overrides)
    return {name: normal(value) for name, value in pairs if name in about}


def _name(value: str) -> str:
    return parse_call(value, "claim")[0] if value.endswith(")") else value


def _verdicts(claim: Claim, study: Study, network: str) -> dict[Statement, Verdict]:
    """The verdicts on the statements about means whose arms this study has."""
    families: dict[tuple[str, Arm, float], dict[str, Statement]] = {}
    for statement in claim.statements:
        arm, baseline, lacking = _measured(statement, claim, study, network)
        if not lacking and statement.expected != "as variable":
            key = (statement.metric, baseline, _margin(statement, baseline))
            families.setdefault(key, {})[arm.name] = statement
    found = {}
    for (metric, baseline, margin), by_arm in families.items():
        family = replace(
            study,
            arms=tuple(a for a in study.of_network(network) if a.name in (baseline.name, *by_arm)),
            baseline=baseline.name,
            aa_arm=None,
            metric=metric,
            margin=margin,
            higher_is_better=next(iter(by_arm.values())).described.higher_is_better is not False,
        )
        verdicts = full_verdicts(family)
        found |= {statement: verdicts[network, name] for name, statement in by_arm.items()}
    return found


def _measured(
    statement: Statement, claim: Claim, study: Study, network: str
) -> tuple[Arm | None, Arm | None, str]:
    """Returns the arms of a statement, and why they cannot be compared ("" if they can)."""
    arm = find_arm(statement.arm, claim, study, network)
    baseline = find_arm(statement.baseline, claim, study, network)
    for one, overrides in ((arm, statement.arm), (baseline, statement.baseline)):
        if one is None:
            return arm, baseline, f"no arm has {' '.join(overrides) or 'no overrides'}"
        if not one.finished:
            return arm, baseline, f"{one.name} has no finished run"
        if any(statement.metric not in run.metrics for run in one.finished):
            return arm, baseline, f"{one.name} has no '{statement.metric}'"
    return arm, baseline, ""


def _finding(
    statement: Statement, claim: Claim, study: Study, network: str, verdict: Verdict | None
) -> Finding:
    arm, baseline, lacking = _measured(statement, claim, study, network)
    if lacking:
        return Finding(statement, "not tested", why=lacking)
    if statement.expected == "as variable":
        return _variability(statement, arm, baseline)
    if not verdict.judged:
        return Finding(statement, "undecided", why=f"{arm.name} is {verdict.kind}")
    word = _WORDS[statement.expected](statement, verdict, arm, baseline)
    return Finding(statement, word, verdict.difference.estimate, verdict.interval)


def _margin(statement: Statement, baseline: Arm) -> float:
    """Returns the margin of a statement in stored units."""
    if not statement.relative:
        return statement.margin / statement.described.scale
    return statement.margin * abs(np.mean([r.metrics[statement.metric] for r in baseline.finished]))


def _gains(statement: Statement, verdict: Verdict) -> tuple[float, float]:
    """Returns the ends of the interval of the improvement over the baseline."""
    low, high = verdict.interval
    return (-high, -low) if statement.described.higher_is_better is False else (low, high)


def _better(statement: Statement, verdict: Verdict, arm: Arm, baseline: Arm) -> Word:
    least, most = _gains(statement, verdict)
    if verdict.different and least + most > 0:
        published = (statement.published or 0) / statement.described.scale
        reached = verdict.kind == "better" and most >= published
        return "replicated" if reached else "smaller"
    return "refuted" if verdict.kind in ("worse", "equivalent") else "undecided"


def _not_worse(statement: Statement, verdict: Verdict, arm: Arm, baseline: Arm) -> Word:
    least, most = _gains(statement, verdict)
    margin = _margin(statement, baseline)
    if least > -margin:
        return "replicated"
    return "refuted" if most < -margin else "undecided"


def _alike(statement: Statement, verdict: Verdict, arm: Arm, baseline: Arm) -> Word:
    least, most = _gains(statement, verdict)
    margin = _margin(statement, baseline)
    if -margin < least and most < margin:
        return "replicated"
    return "refuted" if most < -margin or least > margin else "undecided"


def _always(statement: Statement, verdict: Verdict, arm: Arm, baseline: Arm) -> Word:
    if all(run.metrics[statement.metric] == 1 for run in arm.finished):
        return "replicated"
    return "smaller" if verdict.kind == "better" else "refuted"


_WORDS = {"better": _better, "not worse": _not_worse, "alike": _alike, "always": _always}


def _variability(statement: Statement, arm: Arm, baseline: Arm) -> Finding:
    """Compares the standard deviations over seeds; assumes normal seeds."""
    both = [[run.metrics[statement.metric] for run in one.finished] for one in (arm, baseline)]
    for one, values in zip((arm, baseline), both, strict=True):
        if len(values) < max(FEWEST_SEEDS, len(one.seeds)) or not np.isfinite(values).all():
            why = f"{one.name} has {len(values)} of {len(one.seeds)} seeds"
            return Finding(statement, "undecided", why=why)
    mine, other = (float(np.std(values, ddof=1)) for values in both)
    if other == 0:
        return Finding(statement, "undecided", why=f"the seeds of {baseline.name} do not vary")
    ratio, degrees = mine / other, [len(values) - 1 for values in both]
    low, high = (ratio / np.sqrt(stats.f.ppf(p, *degrees)) for p in (0.975, 0.025))
    word: Word = "undecided"
    if high < 1 / FACTOR:
        word = "refuted"
    elif low > 1 / FACTOR:
        word = "smaller" if high < 1 else "replicated"
    return Finding(statement, word, ratio, (float(low), float(high)))
