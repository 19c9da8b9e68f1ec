"""Summary of a run folder, without opening a checkpoint."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cnn.config.base import get_config
from cnn.config.errors import UserError
from cnn.config.fields import leaves
from cnn.training.logs import read_metrics
from cnn.training.ownership import is_owned
from cnn.training.run_folder import RunFolder


@dataclass(frozen=True)
class RunSummary:
    """Summary of one run.

    Attributes:
      path: of the run folder.
      config: of the run.
      fields: the config, by dotted names.
      fingerprint: of the config.
      step: the last step that a metric was logged or a checkpoint written for.
      total_steps: of the whole training.
      finished: whether the run has its result.
      running: whether a living process owns the folder.
      failed: "diverged" or "failed", as the study that the run belongs to recorded; "" otherwise.
      validation: the last metrics on the validation split.
      test: metrics on the test split; {} before the run has finished.
      result: what result.json holds, or {}.
    """

    path: Path
    config: ConfigDict
    fields: dict[str, Any]
    fingerprint: str
    step: int
    total_steps: int
    finished: bool
    running: bool
    failed: str
    validation: dict[str, float]
    test: dict[str, float]
    result: dict[str, Any]

    @property
    def state(self) -> str:
        """ "finished", or whether training runs, failed or was interrupted, and at which step."""
        if self.finished:
            return "finished"
        state = "running" if self.running else self.failed or "interrupted"
        return f"{state} at step {self.step:,} of {self.total_steps:,}"

    def resolved(self) -> dict[str, Any]:
        """Returns the config, its unset fields of the network at the values that were used.

        They stay unset if the network comes from a plugin that is not loaded.
        """
        from cnn.models import resolve

        try:
            return self.fields | dict(leaves(resolve(self.config.model), "model."))
        except UserError:
            return self.fields

    def changed(self) -> dict[str, Any]:
        """Returns the fields that differ from the defaults."""
        defaults = dict(leaves(get_config()))
        return {name: value for name, value in self.fields.items() if value != defaults.get(name)}


def find_runs(roots: Iterable[str | Path]) -> Iterator[Path]:
    """Yields the run folders at or below the given folders, in the order of their names.

    Raises:
      UserError: a folder does not exist.
    """
    for root in map(Path, roots):
        if not root.is_dir():
            raise UserError(f"there is no folder '{root}'; give run folders, or a folder of them")
        yield from sorted(file.parent for file in root.rglob("config.json"))


def summarize_run(path: str | Path) -> RunSummary:
    """Reads a run folder.

    Raises:
      UserError: the folder holds no run, or a damaged one.
    """
    folder = RunFolder(path)
    config = folder.config()
    record, result = folder.record(), folder.result() or {}
    rows = read_metrics(folder.metrics_file)
    last = {row["name"]: row["value"] for row in rows if row["split"] == "validation"}
    test = {n: v for n, v in result.get("test", {}).items() if isinstance(v, float)}
    return RunSummary(
        path=Path(path),
        config=config,
        fields=dict(leaves(config)),
        fingerprint=record["fingerprint"],
        step=result.get("step", max((*(row["step"] for row in rows), *_saved(folder)), default=0)),
        total_steps=record["resolved"]["total_steps"],
        finished=bool(result),
        running=is_owned(folder.path),
        failed=_failed(folder),
        validation=last,
        test=test,
        result=result,
    )


def _failed(folder: RunFolder) -> str:
    failure = folder.failure()
    if not failure:
        return ""
    return "diverged" if failure.get("diverged") else "failed"


def _saved(folder: RunFolder) -> Iterator[int]:
    """Yields the steps that have a checkpoint."""
    yield from (int(file.name) for file in folder.checkpoints.glob("*") if file.name.isdecimal())
