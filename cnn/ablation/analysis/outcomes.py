"""Per-example outcomes of many runs in one small file: one bit per run and test example.

A compact copy of a study, for publication, leaves out checkpoints and per-example losses: it holds
the records of its runs and `outcomes.npz`, from which every verdict can be recomputed.
"""

import json
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from cnn.ablation.planning.runs import Run, arms_of
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.config.atomic import write_atomically
from cnn.config.errors import UserError
from cnn.config.json_file import read_json
from cnn.training.run_folder import RunFolder

FILE = "outcomes.npz"
# What a report needs of a run folder, besides the results of suites in `evaluation`.
_KEPT = ("config.json", "metrics.jsonl", "result.json")
_OF_STUDY = ("study.json", "units.json", "registration.json", "tuning.json")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Which test examples each run classified correctly.

    Attributes:
      runs: run folders, relative to the study.
      seeds: int `[runs]`.
      correct: bool `[runs, examples]`, whether each prediction is correct.
      commits: of the code, per run.
      hardware: per run.
    """

    runs: tuple[str, ...]
    seeds: np.ndarray
    correct: np.ndarray
    commits: tuple[str, ...]
    hardware: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Writes one file, eight outcomes per byte."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            path,
            runs=np.array(self.runs),
            seeds=self.seeds,
            examples=self.correct.shape[1],
            bits=np.packbits(self.correct, axis=1),
            commits=np.array(self.commits),
            hardware=np.array(self.hardware),
        )

    @classmethod
    def read(cls, path: Path) -> "Outcomes":
        """Reads such a file.

        Raises:
          UserError: it is missing or damaged.
        """
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
                correct = np.unpackbits(found["bits"], axis=1, count=int(found["examples"]))
                texts = (tuple(map(str, found[n])) for n in ("runs", "commits", "hardware"))
                runs, commits, hardware = texts
                columns = runs, found["seeds"], correct.astype(bool), commits, hardware
                if len(set(map(len, columns))) > 1:
                    raise ValueError(f"{len(runs)} runs and {len(correct)} rows of outcomes")
                return cls(*columns)
        except Exception as error:  # Of NumPy, zipfile and each way of compression.
            raise UserError(f"{path}: cannot be read ({error}); restore it from a copy") from error


def outcomes_of(folder: StudyFolder) -> Outcomes:
    """Reads the outcomes of every finished run of a study.

    Raises:
      UserError: none is finished, or they were tested on different numbers of examples.
    """
    rows = []
    for run in _runs(folder):
        result = RunFolder(run.folder).result()
        if result:
            name = run.folder.relative_to(folder.path).as_posix()
            provenance = (run.seed, result.get("commit", ""), result.get("cpu", ""))
            rows.append((name, *provenance, correct_of(folder, RunFolder(run.folder))))
    if not rows:
        raise UserError(f"--workdir: no run of {folder.path} is finished")
    names, seeds, commits, hardware, correct = zip(*rows, strict=True)
    if len({None if one is None else len(one) for one in correct}) > 1 or correct[0] is None:
        raise UserError(
            f"--workdir: not every run of {folder.path} kept the outcomes of the same test examples"
        )
    return Outcomes(names, np.array(seeds), np.stack(correct), commits, hardware)


def correct_of(study: StudyFolder, run: RunFolder) -> np.ndarray | None:
    """Returns whether each prediction of a run is correct, bool `[examples]`.

    Read from the run's own file or from the study's; None if neither was kept.
    """
    if run.predictions_file.is_file():
        outcomes = run.predictions()
        return outcomes["prediction"] == outcomes["label"]
    file, name = study.path / FILE, run.path.relative_to(study.path).as_posix()
    if not file.is_file():
        return None
    found = _read(file, file.stat().st_mtime_ns)
    return found.correct[found.runs.index(name)] if name in found.runs else None


@lru_cache(maxsize=4)
def _read(file: Path, written: int) -> Outcomes:
    return Outcomes.read(file)


def compact_copy(folder: StudyFolder, out: Path) -> Outcomes:
    """Copies what the report of a study needs, with outcomes as bits, into an empty folder.

    Raises:
      UserError: a file is damaged, or as in `outcomes_of`.
    """
    found = outcomes_of(folder)
    files = [folder.path / name for name in _OF_STUDY]
    for run in _runs(folder):
        files += [run.folder / name for name in _KEPT] + [RunFolder(run.folder).failure_file]
        files += sorted((run.folder / "evaluation").rglob("*.json"))
    for file in files:
        if file.is_file():
            copy = out / file.relative_to(folder.path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if "evaluation" in file.relative_to(folder.path).parts:
                # Long lists of numbers, whose lines are mostly indentation.
                write_atomically(copy, json.dumps(read_json(file)) + "\n")
            else:
                shutil.copyfile(file, copy)
    found.write(out / FILE)
    return found


def _runs(folder: StudyFolder) -> list[Run]:
    return [run for runs in arms_of(folder.plan(), folder.path).values() for run in runs]
