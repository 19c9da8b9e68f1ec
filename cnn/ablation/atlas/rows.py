"""Study folders -> the rows of the atlas."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnn.ablation.analysis.collect import collect
from cnn.ablation.analysis.study_analysis import Analysis, analyze
from cnn.ablation.analysis.summary import Summary
from cnn.ablation.claims import CLAIMS
from cnn.ablation.claims.answer import Answer, answer
from cnn.ablation.claims.claim_text import finding_text
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.report.formatting import unit_of
from cnn.ablation.report.headline import control_note, failure_sentences
from cnn.ablation.report.remarks import load_note, remarks
from cnn.ablation.report.verdict_text import verdict_words
from cnn.ablation.statistics.across import kendalls_w
from cnn.ablation.statistics.verdict import FEWEST_SEEDS
from cnn.config.atomic import write_atomically
from cnn.config.json_file import read_json

# Further columns, for rows whose studies measure them: heading -> metric.
BESIDE = {
    "circular": "circular_grid, consistency",
    "crops": "crop_per_image, consistency",
    "in time": "time_per_clip, consistency",
    "ECE": "as_trained, ece",
}


@dataclass(frozen=True)
class RowPlan:
    """A row of the atlas: its studies and operators, before any results.

    Attributes:
      name: of the row.
      title: what is trained on what.
      studies: folder -> the command that trains it; their baselines are one arm.
      operators: names of the arms that the row should have.
    """

    name: str
    title: str
    studies: Mapping[Path, str]
    operators: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One operator in a row; None for unknown values.

    Attributes:
      name: of the arm.
      ended, planned: its runs.
      accuracy: mean and the ends of its 95 % interval, as shares.
      difference: likewise, from the baseline.
      kind: of its verdict, or "baseline".
      words: the verdict.
      beside: mean over seeds by heading, see `BESIDE`.
      macs, parameters: MACs per example, and parameters of the network.
      step: measured time of a training step in milliseconds.
      confounded: whether it differs from the baseline in more than the operator.
      rank: by accuracy, from 1; None for an arm that cannot be ranked.
    """

    name: str
    ended: int
    planned: int
    accuracy: tuple[float, float, float] | None
    difference: tuple[float, float, float] | None
    kind: str
    words: str
    beside: Mapping[str, float]
    macs: int | None
    parameters: int | None
    step: float | None
    confounded: bool
    rank: int | None = None


@dataclass(frozen=True)
class ClaimCells:
    """How a row answers a claim.

    Attributes:
      word: the answer.
      statements: word and estimate of each statement, in the order of the claim.
      words: of each statement.
    """

    word: str
    statements: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class AtlasRow:
    """A row of the atlas: one task.

    Attributes:
      name, title: see `RowPlan`.
      commands: to train what is missing.
      baseline: its name; "" in a row that was not run.
      entries: the operators that have runs, the best first.
      missing: the names of those that have none.
      remarks: limitations and failures, one sentence each.
      claims: name -> the answers.
      reports: the reports of its studies, relative to the folder of the atlas.
      hardware: that it was trained on.
      runs: number of finished runs.
    """

    name: str
    title: str
    commands: tuple[str, ...] = ()
    baseline: str = ""
    entries: tuple[Entry, ...] = ()
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    claims: Mapping[str, ClaimCells] | None = None
    reports: tuple[str, ...] = ()
    hardware: str = ""
    runs: int = 0

    @property
    def compared(self) -> list[Entry]:
        """The entries without the baseline."""
        return [entry for entry in self.entries if entry.kind != "baseline"]


def read_row(plan: RowPlan, folder: Path) -> AtlasRow:
    """Reads the studies of a row.

    Args:
      plan: the row.
      folder: of the atlas.
    """
    there = [place for place in plan.studies if StudyFolder(place).file.is_file()]
    if not there:
        return not_run(plan)
    analyses = [analyze(collect(StudyFolder(place))) for place in there]
    done = [p for p, a in zip(there, analyses, strict=True) if not a.study.unfinished]
    found = {}
    for analysis in analyses:
        for (_, name), summary in analysis.summaries.items():
            if name != analysis.study.aa_arm and name not in found and summary.ended:
                found[name] = _entry(analysis, summary)
    entries = _ranked(found.values())
    return AtlasRow(
        name=plan.name,
        title=plan.title,
        commands=tuple(command for place, command in plan.studies.items() if place not in done),
        baseline=analyses[0].study.baseline,
        entries=entries,
        missing=tuple(name for name in plan.operators if name not in found),
        remarks=tuple(_remarks(analyses[0]) + _further_remarks(there[1:], analyses[1:])),
        claims=_claims(analyses),
        reports=tuple(
            (place / "report.md").relative_to(folder).as_posix()
            for place in there
            if (place / "report.md").is_file()
        ),
        hardware=" and ".join(dict.fromkeys(one.study.hardware for one in analyses)),
        runs=sum(len(s.runs) for one in analyses for s in one.summaries.values()),
    )


def not_run(plan: RowPlan) -> AtlasRow:
    """Returns a row without any runs."""
    commands = tuple(plan.studies.values())
    return AtlasRow(plan.name, plan.title, commands, missing=plan.operators)


def _entry(analysis: Analysis, summary: Summary) -> Entry:
    arm = summary.arm
    comparison = analysis.comparisons.get((arm.network, arm.name))
    kind, words, difference = "baseline", "baseline", None
    if comparison:
        verdict = comparison.verdict
        kind, words = verdict.kind, verdict_words(analysis, comparison)
        if verdict.judged:
            difference = (verdict.difference.estimate, *verdict.interval)
    means = {
        heading: float(np.mean([run.metrics[metric] for run in summary.runs]))
        for heading, metric in BESIDE.items()
        if summary.runs and all(metric in run.metrics for run in summary.runs)
    }
    return Entry(
        name=arm.name,
        ended=summary.ended,
        planned=len(arm.seeds),
        accuracy=(summary.mean, summary.low, summary.high) if summary.runs else None,
        difference=difference,
        kind=kind,
        words=words,
        beside=means,
        macs=arm.macs,
        parameters=arm.params,
        step=arm.step_time_ms,
        confounded=arm.confounded,
    )


def _ranked(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Sorts the entries, and ranks those with enough runs that all finished."""

    def rankable(entry: Entry) -> bool:
        enough = entry.ended == entry.planned >= FEWEST_SEEDS
        return enough and entry.kind not in ("unstable", "unranked") and entry.accuracy is not None

    order = sorted(entries, key=lambda e: (not rankable(e), -(e.accuracy or (0,))[0]))
    return tuple(
        Entry(**vars(entry) | {"rank": place if rankable(entry) else None})
        for place, entry in enumerate(order, 1)
    )


def _remarks(analysis: Analysis) -> list[str]:
    sentences = [f"{title} {text}" for _, title, text in remarks(analysis)]
    sentences += [f"Failed runs. {text}" for text in failure_sentences(analysis)]
    notes = control_note(analysis), load_note(analysis.study)
    return [*sentences, *(note for note in notes if note)]


def _further_remarks(places: Sequence[Path], analyses: Sequence[Analysis]) -> list[str]:
    """The remarks on the studies after the first, each with the folder of its study."""
    sentences = []
    for place, analysis in zip(places, analyses, strict=True):
        study = analysis.study
        (own,) = (s for (_, name), s in analysis.summaries.items() if name == study.baseline)
        accuracy = f", {unit_of(study.metric).value(own.mean)} on {study.hardware}" * bool(own.runs)
        separate = f"A separate study: its operators are compared with its own {study.baseline}"
        texts = f"{separate}{accuracy}.", *_remarks(analysis)
        sentences += [f"{place.name}: {text}" for text in texts]
    return sentences


def _claims(analyses: Sequence[Analysis]) -> dict[str, ClaimCells]:
    """The answer to every claim, from the study that tests most of its statements."""
    published = [one.study for one in analyses if not one.study.match]
    found = {}
    for name, claim in CLAIMS.items():
        given = [answer(claim, study) for study in published]
        if given:
            found[name] = _cells(max(given, key=_tested))
    return found


def _tested(found: Answer) -> int:
    return sum(finding.word != "not tested" for finding in found.findings)


def _cells(found: Answer) -> ClaimCells:
    return ClaimCells(
        found.word,
        tuple(
            f"{f.word}: {finding_text(f)}" if f.word != "not tested" else f.word
            for f in found.findings
        ),
        tuple(f.word for f in found.findings),
    )


def agreement(rows: Sequence[AtlasRow]) -> tuple[list[str], float] | None:
    """Returns the operators that all rows rank, and Kendall's W of their ranks.

    None with fewer than 2 rows that rank, or 3 operators.
    """
    ranks = [{e.name: e.rank for e in row.entries if e.rank is not None} for row in rows]
    ranks = [row for row in ranks if row]
    if len(ranks) < 2:
        return None
    names = [name for name in ranks[0] if all(name in row for row in ranks)]
    if len(names) < 3:
        return None
    return names, kendalls_w(np.array([[-row[name] for row in ranks] for name in names]))


def write_rows(rows: Sequence[AtlasRow], file: Path) -> None:
    """Writes the rows of the atlas as JSON."""
    text = json.dumps({"rows": [asdict(row) for row in rows]}, indent=1)
    write_atomically(file, text + "\n")


def read_rows(file: Path) -> list[AtlasRow]:
    """Reads the rows of the atlas; [] if it was never made.

    Raises:
      UserError: the file is damaged.
    """
    if not file.is_file():
        return []
    rows = read_json(file, {"rows": list})["rows"]
    return [AtlasRow(**_frozen(row | _nested(row))) for row in rows]


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a row that hold records."""
    claims = row["claims"] and {n: ClaimCells(**_frozen(c)) for n, c in row["claims"].items()}
    return {"entries": [Entry(**_frozen(e)) for e in row["entries"]], "claims": claims}


def _frozen(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns fields with lists, as JSON has them, turned back into tuples."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
