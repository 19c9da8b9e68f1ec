"""Summary of a run folder, without opening a checkpoint."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn.config.base import get_config
from cnn.config.errors import UserError
from cnn.config.fields import leaves
from cnn.training.logs import read_metrics
from cnn.training.run_folder import RunFolder


@dataclass(frozen=True)
class RunSummary:
    """Summary of one run.

    Attributes:
      path: of the run folder.
      fields: the config, by dotted names.
      fingerprint: of the config.
      step: the last step that a metric was logged for.
      total_steps: of the whole training.
      finished: whether the run has its result.
      validation: the last metrics on the validation split.
      test: metrics on the test split; {} before the run has finished.
      result: what result.json holds, or {}.
    """

    path: Path
    fields: dict[str, Any]
    fingerprint: str
    step: int
    total_steps: int
    finished: bool
    validation: dict[str, float]
    test: dict[str, float]
    result: dict[str, Any]

    @property
    def state(self) -> str:
        """ "finished", or the progress of training."""
        return "finished" if self.finished else f"step {self.step:,} of {self.total_steps:,}"

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
    record, result = folder.record(), folder.result() or {}
    rows = read_metrics(folder.metrics_file)
    last = {row["name"]: row["value"] for row in rows if row["split"] == "validation"}
    test = {n: v for n, v in result.get("test", {}).items() if isinstance(v, float)}
    return RunSummary(
        path=Path(path),
        fields=dict(leaves(folder.config())),
        fingerprint=record["fingerprint"],
        step=result.get("step", max((row["step"] for row in rows), default=0)),
        total_steps=record["resolved"]["total_steps"],
        finished=bool(result),
        validation=last,
        test=test,
        result=result,
    )
