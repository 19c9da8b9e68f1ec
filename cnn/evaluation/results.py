"""Result files of suites, one per checkpoint, split, suite, options and data."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn.config.atomic import write_atomically
from cnn.config.errors import UserError
from cnn.config.json_file import read_json
from cnn.evaluation.suite import Asked, Results
from cnn.evaluation.suites import SUITES
from cnn.training.run_folder import RunFolder

KINDS = {
    "suite": str,
    "step": int,
    "split": str,
    "options": dict,
    "changes": dict,
    "fingerprint": str,
    "complete": bool,
    "results": dict,
}


@dataclass(frozen=True)
class ResultFile:
    """`evaluation/<suite>/<split>-<step>.json` of a run folder; pictures are in a folder beside it.

    Non-default options, and config fields that were changed for the evaluation, add a hash to the
    name, so that no result overwrites another.

    Attributes:
      run: the run folder.
      suite: name of the suite.
      step: step of the checkpoint.
      split: name of the split.
      options: all options, as JSON values.
      changes: changed config fields that affect what is measured, as JSON values.
    """

    run: RunFolder
    suite: str
    step: int
    split: str
    options: Mapping[str, Any]
    changes: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        run: RunFolder,
        asked: Asked,
        step: int,
        split: str,
        changes: Mapping[str, Any] | None = None,
    ) -> "ResultFile":
        """Returns the result file of a suite; options that are not given have their defaults."""
        options = SUITES[asked.name].defaults() | dict(asked.options)
        return cls(run, asked.name, step, split, _plain(options), _plain(changes or {}))

    @property
    def folder(self) -> Path:
        """The folder of the pictures."""
        name = f"{self.split}-{self.step}"
        defaults = _plain(SUITES[self.suite].defaults())
        special = {n: v for n, v in self.options.items() if v != defaults.get(n)}
        if special or self.changes:
            text = json.dumps([special, dict(self.changes)], sort_keys=True)
            name += f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        return _folder(self.run) / self.suite / name

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder.with_suffix(".json")

    def write(self, results: Results, *, complete: bool) -> None:
        """Replaces the file atomically.

        Raises:
          UserError: the run folder cannot be written to, or a number is not finite.
        """
        record = {
            "suite": self.suite,
            "step": self.step,
            "split": self.split,
            "options": dict(self.options),
            "changes": dict(self.changes),
            "fingerprint": self.run.record()["fingerprint"],
            "complete": complete,
            "results": results,
        }
        try:
            text = json.dumps(record, indent=2, allow_nan=False)
        except ValueError as error:
            raise UserError(
                f"--suite: {self.suite} of {self.run.path} gives values that are not finite, so "
                "the network has diverged; use an earlier --step"
            ) from error
        try:
            write_atomically(self.path, text + "\n")
        except OSError as error:
            raise UserError(
                f"--workdir: cannot write {self.path} ({error.strerror}); "
                "make the run folder writable, or copy it"
            ) from error

    def read(self) -> Results | None:
        """Returns the results, complete or not; None if there are none.

        Raises:
          UserError: the file is damaged.
        """
        if not self.path.is_file():
            return None
        record = read_record(self.path)
        same = (record["options"], record["changes"]) == (self.options, self.changes)
        return record["results"] if same else None

    def is_complete(self) -> bool:
        """Whether the results are complete and undamaged."""
        try:
            return self.read() is not None and read_record(self.path)["complete"]
        except UserError:
            return False


def read_record(path: Path) -> dict[str, Any]:
    """Reads a result file, whose entries are those of `KINDS`.

    Raises:
      UserError: the file is damaged.
    """
    try:
        return read_json(path, KINDS)
    except UserError as error:
        raise UserError(f"{error}; or delete it and run eval.py again") from error


def result_files(run: RunFolder, step: int, split: str) -> list[Path]:
    """Returns the result files of all suites on a checkpoint and split, oldest first."""
    found = [
        path
        for path in _folder(run).glob("*/*.json")
        if path.stem == f"{split}-{step}" or path.stem.startswith(f"{split}-{step}-")
    ]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _folder(run: RunFolder) -> Path:
    return run.path / "evaluation"


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(dict(values)))
