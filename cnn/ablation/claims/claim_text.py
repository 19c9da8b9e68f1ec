"""Claims and answers in words."""

from collections.abc import Iterator

from cnn.ablation.analysis.study_results import Study
from cnn.ablation.claims.answer import RULE, Answer, Finding
from cnn.ablation.claims.claim import CLAIMS, Claim, Statement
from cnn.ablation.report.formatting import plural, unit_of

STUDY_FILE = "configs/ablations/claims.py"
_EXPECTED = {
    "better": "better than",
    "not worse": "not worse than",
    "alike": "similar to",
    "always": "at 100 % in every run, compared with",
    "as variable": "as variable as",
}


def claim_list() -> str:
    """Returns two lines per claim, and the rule."""
    lines = [f"{name}: {claim.says}\n    {claim.source}" for name, claim in CLAIMS.items()]
    return "\n".join([*lines, "", *RULE])


def claim_card(name: str, claim: Claim) -> str:
    """Returns a claim with its source and scale, and the commands that test it."""
    lines = [
        f"{name}: {claim.says}",
        f"source: {claim.source}",
        f"published setting: {claim.scale}",
        *(f"statement: {stated(statement)}" for statement in claim.statements),
        "to test it:",
        f"  python ablate.py run --config={STUDY_FILE}:{name} --workdir=runs/{name}",
        f"  python ablate.py claim {name} --workdir=runs/{name}",
    ]
    return "\n".join(lines)


def stated(statement: Statement) -> str:
    """Returns a statement, such as "max_blur better than max in accuracy, published +1.07 pp"."""
    arm, baseline = (_short(overrides) for overrides in (statement.arm, statement.baseline))
    unit, size = unit_of(statement.metric), ""
    if statement.published is not None:
        size = f", published {unit.difference(statement.published / statement.described.scale)}"
    return f"{arm} {_EXPECTED[statement.expected]} {baseline} in {unit.name}{size}"


def _short(overrides: tuple[str, ...]) -> str:
    values = [text.removeprefix("model.downsample=") for text in overrides]
    shown = [text for text in values if not text.startswith("seeds.")]
    return " ".join(shown) or "other seeds"


def answer_lines(name: str, claim: Claim, study: Study, found: Answer) -> Iterator[str]:
    """Yields the lines of an answer, with the caveat of scale."""
    yield f"{name}: {found.word}"
    yield f"  {claim.says} ({claim.source})"
    for finding in found.findings:
        yield f"  {finding.word}: {stated(finding.statement)}; here {finding_text(finding)}"
    yield f"  {caveat(claim, study)}"


def finding_text(finding: Finding) -> str:
    """Returns the estimate with its interval, or why there is none."""
    if finding.estimate is None:
        return finding.why
    if finding.statement.expected == "as variable":
        low, high = finding.interval
        return f"{finding.estimate:.2f} times the standard deviation ({low:.2f} to {high:.2f})"
    unit = unit_of(finding.statement.metric)
    return f"{unit.difference(finding.estimate)} ({unit.interval(finding.interval)})"


def caveat(claim: Claim, study: Study) -> str:
    """Returns the scale at which it was published and the one at which it was tested."""
    seeds = max(len(arm.seeds) for arm in study.arms)
    return (
        f"Published setting: {claim.scale}. Tested here on: {study.name}, "
        f"{plural(seeds, 'seed')} per arm. The answer holds only at the scale of this study."
    )
