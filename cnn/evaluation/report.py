"""eval.html: everything that was measured on some runs, side by side."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.suite import Measured, ResultFile
from cnn.evaluation.suites import SUITES
from cnn.pages.page import Cell, Column, page, section, sortable_table
from cnn.training.run_folder import write_atomically


def write_page(path: Path, runs: Sequence[CheckpointedRun], split: str) -> None:
    """Writes the page of all suites that have results for these checkpoints and this split.

    Raises:
      UserError: it cannot be written there.
    """
    try:
        write_atomically(path, render(runs, split))
    except OSError as error:
        raise UserError(
            f"--page: cannot write {path} ({error.strerror}); give another file"
        ) from error


def render(runs: Sequence[CheckpointedRun], split: str) -> str:
    """Returns the page: the runs, and a section of each suite."""
    names = names_of(runs)
    sections = []
    for suite, entry in SUITES.items():
        found = []
        for name, run in zip(names, runs, strict=True):
            file = ResultFile(run.folder, suite)
            figures = file.read(run.step, split)
            if figures is not None:
                signal = run.evaluator.config.data.signal
                found.append(Measured(name, figures, file.folder, signal))
        if found:
            sections.append(entry.section(found))
    title = names[0] if len(runs) == 1 else f"{len(runs)} runs side by side"
    return page(title, f"Evaluation on the {split} split", _runs(names, runs), *sections)


def names_of(runs: Sequence[CheckpointedRun]) -> list[str]:
    """Returns the folders' names, or as much of their paths as tells them apart."""
    paths = [run.folder.path for run in runs]
    for depth in range(1, max(len(p.parts) for p in paths) + 1):
        names = ["/".join(p.parts[-depth:]) for p in paths]
        if len(set(names)) == len(names):
            break
    return names


def _runs(names: Sequence[str], runs: Sequence[CheckpointedRun]) -> Markup:
    columns = ("run", "network", "data", "step", "seed", "config")
    rows = []
    for name, run in zip(names, runs, strict=True):
        config = run.evaluator.config
        data = config.data.name if config.data.source == "tfds" else config.data.source
        rows.append(
            [
                Cell(name),
                Cell(config.model.name),
                Cell(data),
                Cell(f"{run.step:,}", run.step),
                Cell(config.seed, config.seed),
                Cell(run.folder.record()["fingerprint"]),
            ]
        )
    heads = [Column(c, numeric=c in ("step", "seed")) for c in columns]
    return section("Runs", sortable_table(heads, rows))
