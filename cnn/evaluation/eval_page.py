"""eval.html: all evaluation results of one or more runs, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from cnn.config.atomic import write_atomically
from cnn.config.check import is_read
from cnn.config.errors import UserError
from cnn.config.python_file import explain
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.results import ResultFile, read_record, result_files
from cnn.evaluation.suite import Asked, MeasuredRun, Results, Suite
from cnn.evaluation.suites import SUITES
from cnn.pages.page import Cell, Column, page, section, sortable_table


def write_page(
    path: Path, runs: Mapping[str, CheckpointedRun], split: str, asked: Sequence[Asked]
) -> list[str]:
    """Writes a page of all suites that have results for these checkpoints and this split.

    Args:
      path: of the page.
      runs: by their names on the page.
      split: name of the split.
      asked: suites to show with exactly these options; for all others, the latest results.

    Returns:
      One sentence for each result that is left out because its file is damaged.

    Raises:
      UserError: the page cannot be written.
    """
    remarks: list[str] = []
    text = _render(runs, split, {suite.name: suite for suite in asked}, remarks)
    try:
        write_atomically(path, text)
    except OSError as error:
        raise UserError(
            f"--page: cannot write {path} ({error.strerror}); give another file"
        ) from error
    return remarks


def _render(
    runs: Mapping[str, CheckpointedRun],
    split: str,
    asked: Mapping[str, Asked],
    remarks: list[str],
) -> str:
    sections = []
    found = {name: _results(run, split, asked, remarks) for name, run in runs.items()}
    for suite, entry in SUITES.items():
        measured = [
            MeasuredRun(name, *own[suite], runs[name].evaluator.config.data.signal)
            for name, own in found.items()
            if suite in own
        ]
        if measured:
            sections += _section(entry, measured, remarks)
    title = next(iter(runs)) if len(runs) == 1 else f"{len(runs)} runs side by side"
    return page(title, f"Evaluation on the {split} split", _runs(runs), *sections)


def _section(suite: Suite, measured: list[MeasuredRun], remarks: list[str]) -> list[Markup]:
    """Returns the section of a suite on the runs whose results it can show, if there are any."""
    try:
        return [suite.section(measured)]
    except Exception:
        whole = [run for run in measured if _is_whole(suite, run, remarks)]
        # Each alone can be shown, so no file is to blame.
        if len(whole) == len(measured):
            raise
    return [suite.section(whole)] if whole else []


def _is_whole(suite: Suite, run: MeasuredRun, remarks: list[str]) -> bool:
    try:
        suite.section([run])
    except Exception as error:
        remarks.append(
            f"left out of the page: {run.folder}.json: does not hold what the suite writes "
            f"({explain(error)}); delete it, or run eval.py again"
        )
        return False
    return True


def _results(
    run: CheckpointedRun, split: str, asked: Mapping[str, Asked], remarks: list[str]
) -> dict[str, tuple[Results, Path]]:
    """Returns the results of each suite, and the folder of its images."""
    found = {}
    for path in result_files(run.folder, run.step, split):
        try:
            record = read_record(path)
        except UserError as error:
            remarks.append(f"left out of the page: {error}")
            continue
        suite = record["suite"]
        own = (
            suite not in asked
            or path == ResultFile.of(run.folder, asked[suite], run.step, split, run.changes).path
        )
        if own and record["changes"] == run.changes:
            found[suite] = record["results"], path.with_suffix("")
    return found


def names_of(runs: Sequence[CheckpointedRun]) -> list[str]:
    """Returns the folder names, or as many trailing path components as distinguish them."""
    paths = [run.folder.path for run in runs]
    for depth in range(1, max(len(p.parts) for p in paths) + 1):
        names = ["/".join(p.parts[-depth:]) for p in paths]
        if len(set(names)) == len(names):
            break
    return names


def _runs(runs: Mapping[str, CheckpointedRun]) -> Markup:
    columns = ("run", "network", "data", "step", "seed", "config")
    rows = []
    for name, run in runs.items():
        config = run.evaluator.config
        named = [config.data.name] if is_read(config, "data.name") else []
        rows.append(
            [
                Cell(name),
                Cell(config.model.name),
                Cell(" ".join([config.data.source, *named])),
                Cell(f"{run.step:,}", run.step),
                Cell(config.seed, config.seed),
                Cell(run.folder.record()["fingerprint"]),
            ]
        )
    heads = [Column(c, numeric=c in ("step", "seed")) for c in columns]
    return section("Runs", sortable_table(heads, rows))
