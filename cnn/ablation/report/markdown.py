"""report.md: the verdicts and the table of arms, for a repository or a pull request."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.analysis.study_results import Study
from cnn.ablation.report.decision_rule import decision_rule
from cnn.ablation.report.effect_text import EFFECT_HEADS, effect_rows
from cnn.ablation.report.formatting import full_name, unit_of
from cnn.ablation.report.headline import control_note, failure_sentences, headline
from cnn.ablation.report.matching_text import cost_groups
from cnn.ablation.report.remarks import remarks, table_notes
from cnn.ablation.report.reproduction import reproduction_facts
from cnn.ablation.report.rows import HEADS, arm_rows
from cnn.ablation.report.tuning_text import TUNING_HEADS, tuning_rows
from cnn.ablation.report.verdict_text import MARKS


def render_markdown(analysis: Analysis) -> str:
    """Returns the report as Markdown; names cannot become markup."""
    study = analysis.study
    parts = [
        f"# {escape_markdown(study.name)}",
        *_remarks(analysis),
        _verdicts(analysis),
        escape_markdown(control_note(analysis)),
        *_section("Effects of the factors", EFFECT_HEADS, effect_rows(analysis)),
        *_arms(analysis),
        *map(escape_markdown, table_notes(analysis)),
        *_section("Tuning", TUNING_HEADS, tuning_rows(study)),
        "## Decision rule",
        "\n".join(f"- {escape_markdown(sentence)}" for sentence in decision_rule(analysis)),
        "## Runs",
        "\n".join(_runs(analysis)),
        "## How to reproduce",
        "\n".join(_facts(study)),
        _fenced(study.config),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _arms(analysis: Analysis) -> list[str]:
    sections = []
    for title, part in cost_groups(analysis):
        title = title or ("Arms" if analysis.effects else "")
        sections += [f"## {title}"] if title else []
        sections.append(table(HEADS, [row.cells() for row in arm_rows(part)]))
    return sections


def _section(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"## {title}", table(heads, rows)] if rows else []


def headlines(analysis: Analysis) -> str:
    """Returns the verdicts as a list, after the remarks that limit them."""
    limits = (f"- {title} {escape_markdown(text)}" for _, title, text in remarks(analysis))
    return "\n".join((*limits, _verdicts(analysis)))


def _verdicts(analysis: Analysis) -> str:
    return "\n".join(
        f"- {MARKS[kind].symbol} {escape_markdown(sentence)}"
        for kind, sentence in headline(analysis)
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table of text."""
    lines = [f"| {' | '.join(escape_markdown(cell) for cell in row)} |" for row in (heads, *rows)]
    return "\n".join([lines[0], f"|{' --- |' * len(heads)}", *lines[1:]])


def escape_markdown(text: str) -> str:
    """Escapes text: no markup, no tag, no end of a table cell or line."""
    text = re.sub(r"\s+", " ", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~#])", r"\\\1", text)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def _remarks(analysis: Analysis) -> list[str]:
    limits = [(title, text) for _, title, text in remarks(analysis)]
    failed = [("Failed runs.", sentence) for sentence in failure_sentences(analysis)]
    return [f"> **{title}** {escape_markdown(text)}" for title, text in limits + failed]


def _runs(analysis: Analysis) -> list[str]:
    study, unit = analysis.study, unit_of(analysis.study.metric)
    lines = []
    for arm in study.arms:
        links = []
        for run in arm.seeds:
            shown = run.status
            if run.status == "finished":
                shown = unit.bare(run.metrics[study.metric])
            begun = run.status != "not begun"
            links.append(f"[{shown}](<{quote(run.run_dir)}>)" if begun else shown)
        name = escape_markdown(full_name(arm.network, arm.name))
        lines.append(f"- {name}: {', '.join(links)}")
    return lines


def _facts(study: Study) -> list[str]:
    return [f"- {term}: {escape_markdown(value)}" for term, value in reproduction_facts(study)]


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks within."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n{text.rstrip()}\n{fence}" if text else ""
