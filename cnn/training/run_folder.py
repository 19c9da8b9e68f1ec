"""The files of a run folder, each written completely or not at all."""

import contextlib
import itertools
import json
import os
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from cnn.config.atomic import PARTIAL, whole_file, write_atomically
from cnn.config.entry import describe
from cnn.config.errors import UserError
from cnn.config.json_file import check_seal, is_kind, read_json, seal
from cnn.config.record import differences, fingerprint, from_plain, to_plain

_FAILURE = ".failure.json"
_RECORD = {
    "fingerprint": str,
    "config": dict,
    "resolved": dict,
    "resolved.mean": list,
    "resolved.std": list,
}
_EXAMPLE = {
    "resolved.example.shape": list,
    "resolved.example.dtype": str,
}
_CLASS_NAMES = {"resolved.identity.class_names": list}
# Of imported weights whose classes have no known names.
_NUMBER_OF_CLASSES = {"resolved.num_classes": int}
_RESULT = {
    "step": int,
    "test": dict,
    "test.accuracy": float,
    "test.loss": float,
    "test.confusion": list,
    "validation": dict,
    "best": (dict, NoneType),
    "fingerprint": str,
    "config": dict,
}
# What not every result has, such as those of earlier versions.
_RESULT_OPTIONAL = {
    "seed": int,
    "input_shape": list,
    "image_shape": list,
    "test.top5_accuracy": float,
    "validation.accuracy": float,
    "validation.loss": float,
    "validation.top5_accuracy": float,
    "seconds": float,
    "versions": dict,
    "device": str,
    "cpu": str,
    "cores": int,
    "commit": str,
}

# What a run or a study keeps in its folder, by the file that marks such a folder.
_KEPT = {
    "config.json": (
        "config.json",
        "weights.json",
        "metrics.jsonl",
        "result.json",
        "test_predictions.npz",
        "owner.json",
        "checkpoints",
        "tensorboard",
    ),
    "study.json": (
        "study.json",
        "units.json",
        "registration.json",
        "tuning.json",
        "outcomes.npz",
    ),
}


def moved_away(folder: Path) -> str:
    """Returns the sentence for a run whose folder is no longer there."""
    return (
        f"--workdir: {folder} was moved or removed while it was being trained; where it was moved "
        "to, the same command continues from its last checkpoint"
    )


class RunFolder:
    """The files of one run. Nothing is created before something is written."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path).absolute()
        self.config_file = self.path / "config.json"
        self.weights_file = self.path / "weights.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.result_file = self.path / "result.json"
        self.predictions_file = self.path / "test_predictions.npz"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        # Of a run of a study that failed; beside the run, whose folder may never have been made.
        self.failure_file = self.path.with_name(f"{self.path.name}{_FAILURE}")

    def record(self) -> dict[str, Any]:
        """Reads config.json: {"fingerprint", "config", "resolved", "sha256" of these}.

        Raises:
          UserError: the folder contains no run, or a config.json that cannot be read or was edited;
            names the place.
        """
        if not self.config_file.is_file():
            raise UserError(
                f"--workdir: there is no run in {self.path} (no config.json); "
                "give the folder that train.py wrote"
            )
        record = read_json(self.config_file, _RECORD)
        for name in ("mean", "std"):
            if not all(is_kind(value, float) for value in record["resolved"][name]):
                raise UserError(
                    f"{self.config_file}: the field 'resolved.{name}' is not numeric; "
                    "restore the file from a copy"
                )
        if "example" in record["resolved"]:
            unnamed = "num_classes" in record["resolved"] and "identity" not in record["resolved"]
            classes = _NUMBER_OF_CLASSES if unnamed else _CLASS_NAMES
            read_json(self.config_file, _EXAMPLE | classes)
        check_seal(
            self.config_file, record, "To evaluate with another value, pass --config.FIELD=VALUE"
        )
        return record

    def config(self) -> ConfigDict:
        """Returns the stored config.

        Raises:
          UserError: see `record`; or a field is unknown, of another type, or impossible.
        """
        stored = self.record()["config"]
        try:
            return from_plain(stored)
        except UserError as error:
            raise UserError(f"{self.config_file}: {error}") from error
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise UserError(
                f"{self.config_file}: the field 'config' is not as train.py wrote it "
                f"({str(error).splitlines()[0]}); restore the file from a copy"
            ) from error

    def check(self, config: ConfigDict) -> None:
        """Checks that the folder is free, or holds a run with the same config.

        Raises:
          UserError: another run lives here (names the differing fields), or something else does; or
            its name is one that checkpoints cannot be written to.
        """
        check_name(self.path)
        for file in (self.config_file, self.metrics_file, self.predictions_file, self.result_file):
            if file.exists() and not file.is_file():
                raise UserError(
                    f"--workdir: {file} is not a file; move it, or choose another folder"
                )
        for folder in (self.checkpoints, self.tensorboard):
            if folder.exists() and not folder.is_dir():
                raise UserError(
                    f"--workdir: {folder} is not a folder; move it, or choose another folder"
                )
        if self.weights_file.is_file():
            raise UserError(
                f"--workdir: {self.path} holds imported weights, which are not trained in place; "
                f"choose another folder and set --config.init_from={self.path}"
            )
        if self.config_file.is_file():
            differing = differences(self.config(), config)
            if differing:
                raise UserError(
                    f"--workdir: {self.path} holds a run with another config: "
                    f"{'; '.join(differing)}; choose another folder or the same config"
                )
        elif self.path.exists() and (not self.path.is_dir() or self._holds_something_else()):
            raise UserError(
                f"--workdir: {self.path} is not empty and not a run folder; choose another one"
            )

    def _holds_something_else(self) -> bool:
        """Whether the folder contains more than a run killed before its config.json leaves."""
        return any(
            PARTIAL not in file.suffixes and not file.name.startswith("owner.json")
            for file in self.path.iterdir()
        )

    def sweep(self) -> None:
        """Removes partial files of processes that died while writing; for the folder's owner."""
        for file in list(self.path.iterdir()):
            if PARTIAL in file.suffixes:
                file.unlink(missing_ok=True)

    def claim(self, config: ConfigDict, resolved: dict[str, Any], start: str = "") -> None:
        """Writes config.json: the config, its fingerprint and the values resolved from it.

        Args:
          config: of the run.
          resolved: JSON values.
          start: see `fingerprint`.
        """
        record = {
            "fingerprint": fingerprint(config, start),
            "config": to_plain(config),
            "resolved": resolved,
        }
        write_atomically(self.config_file, json.dumps(seal(record), indent=2) + "\n")

    def result(self) -> dict[str, Any] | None:
        """Returns the result of a finished run, or None.

        Raises:
          UserError: result.json is damaged; names the place.
        """
        if not self.result_file.is_file():
            return None
        result = read_json(self.result_file, _RESULT, _RESULT_OPTIONAL)
        confusion = result["test"]["confusion"]
        if not confusion or not all(
            isinstance(row, list) and len(row) == len(confusion) and set(map(type, row)) <= {int}
            for row in confusion
        ):
            raise UserError(
                f"{self.result_file}: the field 'test.confusion' is not a square matrix of counts; "
                "restore the file from a copy"
            )
        return result

    def failure(self) -> dict[str, Any] | None:
        """Returns {"error", "diverged"} of a run of a study that failed, or None.

        Raises:
          UserError: the file is damaged; names the place.
        """
        try:
            return read_json(self.failure_file, {"error": str})
        except UserError:
            # Another task of the study may remove it at any time.
            if self.failure_file.is_file():
                raise
            return None

    def predictions(self) -> dict[str, np.ndarray]:
        """Returns {"prediction", "label", "loss"} of every test example, in their order.

        Raises:
          UserError: test_predictions.npz is missing or damaged.
        """
        try:
            with np.load(self.predictions_file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in ("prediction", "label", "loss")}
            kinds = {
                (array.ndim, len(array), array.dtype.kind in "uif") for array in found.values()
            }
            if kinds != {(1, len(found["label"]), True)}:
                raise ValueError("its arrays are not as many numbers each")
            return found
        except Exception as error:  # Of NumPy, zipfile and each way of compression.
            raise UserError(
                f"{self.predictions_file}: cannot be read ({error}); restore it from a copy"
            ) from error

    def finish(self, result: dict[str, Any], outcomes: dict[str, np.ndarray]) -> None:
        """Writes per-example test predictions and losses, then the result, which ends the run."""
        classes = np.uint8 if len(result["test"]["confusion"]) <= 256 else np.uint16
        with whole_file(self.predictions_file) as partial, open(partial, "wb") as file:
            np.savez_compressed(
                file,
                prediction=outcomes["prediction"].astype(classes),
                label=outcomes["label"].astype(classes),
                loss=outcomes["loss"].astype(np.float32),
            )
        write_atomically(self.result_file, json.dumps(result, indent=2) + "\n")


def check_output(path: Path, option: str) -> None:
    """Refuses an output file that would replace a part of a run or of a study.

    Args:
      path: the file that is to be written.
      option: that it was given with, such as "--out".

    Raises:
      UserError: it is a folder or a device, or belongs to a run or a study.
    """
    place = Path(os.path.realpath(path.parent), path.name)
    if place.exists() and not place.is_file():
        kind = "a folder" if place.is_dir() else "not a regular file"
        raise UserError(f"{option}: {path} is {kind}; give a file")
    if place.name.endswith(_FAILURE):
        raise UserError(f"{option}: {path} would mark a run as failed; choose another name")
    for folder in place.parents:
        first, *below = place.relative_to(folder).parts
        of_suite = first == "evaluation" and len(below) == 2 and place.suffix == ".json"
        for mark, names in _KEPT.items():
            if (of_suite or first in names) and (folder / mark).is_file():
                raise UserError(
                    f"{option}: {path} belongs to the {'run' if mark == 'config.json' else 'study'}"
                    f" in {folder}, which it would damage; choose another place"
                )


def check_free(target: Path, option: str) -> None:
    """Refuses a folder that cannot be replaced by a new one.

    Args:
      target: the folder that is to be written.
      option: that it was given with, such as "--out".

    Raises:
      UserError: it is not empty, a file, a mount point or the current folder, or belongs to a run
        or a study.
    """
    if target.exists():
        if not target.is_dir() or any(target.iterdir()):
            raise UserError(f"{option}: {target} is not empty; choose another folder")
        if os.path.ismount(os.path.realpath(target)):
            raise UserError(f"{option}: {target} is a mount point; give a new folder in it")
        if target.samefile("."):
            raise UserError(f"{option}: {target} is the current folder; give a new folder")
    check_output(target / "config.json", option)


def free_name(path: Path) -> Path:
    """Returns the path, or with the first number after it that nothing there has."""
    numbered = (path.with_name(f"{path.name}-{i}") for i in itertools.count(2))
    return next(p for p in itertools.chain([path], numbered) if not p.exists())


def check_name(path: Path) -> None:
    """Refuses a folder whose name is not UTF-8 on disk: checkpoints cannot be written there.

    Raises:
      UserError: it is not.
    """
    with contextlib.suppress(UnicodeEncodeError):
        if os.fsencode(path) == str(path).encode():
            return
    shown = str(path).encode(errors="replace").decode()
    raise UserError(f"--workdir: '{shown}' is not valid UTF-8; choose another folder")


def make_folder(path: Path) -> None:
    """Makes a folder and those above it.

    Raises:
      UserError: the operating system refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {path} cannot be created: {describe(error)}") from error
