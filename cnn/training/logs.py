"""metrics.jsonl (one row per metric, the same after an interruption) and the trackers."""

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnn.config.atomic import write_atomically
from cnn.config.entry import describe
from cnn.config.errors import UserError
from cnn.config.json_file import is_kind
from cnn.training.hosts import is_first
from cnn.training.run_folder import RunFolder, free_name
from cnn.training.trackers import Trackers


class MetricLog:
    """Appends metrics to the files of a run, from its first process.

    Rows after the step that training starts from belong to steps that a crash has undone; they
    are removed when the log is opened. Lines that are not valid rows are removed too, and kept
    in another file.

    Args:
      folder: of the run.
      step: the step that training starts from.
      trackers: that get the metrics as well; only the first process has them.

    Attributes:
      remark: a sentence about invalid lines, or "".
    """

    def __init__(
        self, folder: RunFolder, step: int, trackers: Callable[[], Trackers] | None = None
    ):
        self._path, self._file, self._trackers, self.remark = folder.metrics_file, None, None, ""
        if not is_first():
            return
        self.remark = _mend(folder.metrics_file, step)
        self._trackers = trackers and trackers()
        # Unbuffered: a full disk raises at once, and the partial row can be removed.
        self._file = open(folder.metrics_file, "ab", buffering=0)  # noqa: SIM115 closed by close()

    def write(self, step: int, split: str, metrics: dict[str, float]) -> None:
        """Writes one row per metric: {"step", "split", "name", "value", "time"} (Unix seconds).

        Raises:
          UserError: the disk is full; the file still contains complete rows only.
        """
        if not self._file:
            return
        now = round(time.time(), 3)
        rows = [
            {"step": step, "split": split, "name": name, "value": value, "time": now}
            for name, value in metrics.items()
        ]
        self._append("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())
        if self._trackers:
            self._trackers.write(step, split, metrics)

    def _append(self, text: bytes) -> None:
        before = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            os.ftruncate(self._file.fileno(), before)
            error.filename = str(self._path)
            raise UserError(describe(error)) from error

    def close(self) -> None:
        """Closes the files."""
        if self._file:
            self._file.close()
        if self._trackers:
            self._trackers.close()


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """Returns the valid rows of a metrics.jsonl."""
    return _rows_and_others(file)[0]


def _rows_and_others(file: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Returns the rows, and the numbers of the other lines, but for a half one that a crash left.

    Raises:
      UserError: the file cannot be read.
    """
    try:
        lines = file.read_bytes().split(b"\n") if file.exists() else []
    except OSError as error:
        raise UserError(describe(error)) from error
    rows, others = [], []
    for number, line in enumerate(lines, start=1):
        if (row := _row(line)) is not None:
            rows.append(row)
        elif line.strip() and number < len(lines):
            others.append(number)
    return rows, others


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kinds = {"step": int, "split": str, "name": str, "value": float, "time": float}
    whole = isinstance(row, dict) and row.keys() >= kinds.keys()
    return row if whole and all(is_kind(row[name], kind) for name, kind in kinds.items()) else None


def metrics_at(file: Path, step: int, split: str) -> dict[str, float]:
    """Returns the metrics of a split that a metrics.jsonl holds for a step."""
    rows = read_metrics(file)
    return {r["name"]: r["value"] for r in rows if r["step"] == step and r["split"] == split}


def _mend(file: Path, step: int) -> str:
    """Removes rows after a step and damaged lines; returns a description of the latter, or ""."""
    rows, others = _rows_and_others(file)
    remark = ""
    if others:
        aside = free_name(file.with_name(f"{file.name}.damaged"))
        aside.write_bytes(file.read_bytes())
        remark = (
            f"{file}: {len(others)} lines are no metrics, the first of them line {others[0]}; all "
            f"others were kept, and the file as it was is {aside.name}"
        )
    if file.exists():
        kept = [row for row in rows if row["step"] <= step]
        write_atomically(file, "".join(json.dumps(row) + "\n" for row in kept))
    return remark
