"""metrics.jsonl and TensorBoard: one row a figure, the same rows whether a run was interrupted."""

import json
import time
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from cnn.training.hosts import is_first
from cnn.training.run_folder import RunFolder, write_atomically


class MetricLog:
    """Appends figures to the files of a run, from its first process.

    Rows after the step that training starts from belong to work that a crash has undone: they are
    taken out when the log is opened.

    Args:
      folder: of the run.
      step: the step that training starts from.
      tensorboard: whether to write event files too.
    """

    def __init__(self, folder: RunFolder, step: int, *, tensorboard: bool):
        self._file = self._events = None
        if not is_first():
            return
        _drop_rows_after(folder.metrics_file, step)
        self._file = open(folder.metrics_file, "a")  # noqa: SIM115 closed by close()
        if tensorboard:
            purge = step + 1 if step else None
            self._events = SummaryWriter(str(folder.tensorboard), purge_step=purge)

    def write(self, step: int, split: str, figures: dict[str, float]) -> None:
        """Writes one row a figure: {"step", "split", "name", "value", "time"} (Unix seconds)."""
        if not self._file:
            return
        now = round(time.time(), 3)
        for name, value in figures.items():
            row = {"step": step, "split": split, "name": name, "value": value, "time": now}
            self._file.write(json.dumps(row) + "\n")
            if self._events:
                self._events.add_scalar(f"{split}/{name}", value, step)
        self._file.flush()

    def close(self) -> None:
        """Closes the files."""
        if self._file:
            self._file.close()
        if self._events:
            self._events.close()


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """Returns the rows of a metrics.jsonl, without the half row that a crash may leave."""
    if not file.exists():
        return []
    rows = []
    for line in file.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def figures_at(file: Path, step: int, split: str) -> dict[str, float]:
    """Returns the figures of a split that a metrics.jsonl holds for a step."""
    rows = read_metrics(file)
    return {r["name"]: r["value"] for r in rows if r["step"] == step and r["split"] == split}


def _drop_rows_after(file: Path, step: int) -> None:
    if file.exists():
        kept = [row for row in read_metrics(file) if row["step"] <= step]
        write_atomically(file, "".join(json.dumps(row) + "\n" for row in kept))
