"""A run folder describes itself: where each file lies; each is written whole or not at all."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.config.record import differences, fingerprint, from_plain, to_plain


class RunFolder:
    """The files of one run. Nothing is created before something is written."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path).absolute()
        self.config_file = self.path / "config.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.result_file = self.path / "result.json"
        self.predictions_file = self.path / "test_predictions.npz"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"

    def record(self) -> dict[str, Any]:
        """Reads config.json: {"fingerprint", "config", "resolved"}.

        Raises:
          UserError: the folder holds no run, or one of an unknown form.
        """
        if not self.config_file.is_file():
            raise UserError(
                f"--workdir: there is no run in {self.path} (no config.json); "
                "give the folder that train.py wrote"
            )
        try:
            record = json.loads(self.config_file.read_text())
            return {name: record[name] for name in ("fingerprint", "config", "resolved")}
        except (json.JSONDecodeError, KeyError) as error:
            raise UserError(
                f"{self.config_file}: is damaged ({error}); restore the file"
            ) from error

    def config(self) -> ConfigDict:
        """Returns the stored config."""
        return from_plain(self.record()["config"])

    def check(self, config: ConfigDict) -> None:
        """Checks that the folder is free, or holds a run with the same config.

        Raises:
          UserError: another run lives here (names the differing fields), or something else does.
        """
        if self.config_file.is_file():
            differing = differences(self.config(), config)
            if differing:
                raise UserError(
                    f"--workdir: {self.path} holds a run with another config: "
                    f"{'; '.join(differing)}; choose another folder or the same config"
                )
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UserError(
                f"--workdir: {self.path} is not empty and holds no run; choose another folder"
            )

    def claim(self, config: ConfigDict, resolved: dict[str, Any]) -> None:
        """Writes config.json: the config, its fingerprint and the values resolved from it."""
        record = {
            "fingerprint": fingerprint(config),
            "config": to_plain(config),
            "resolved": resolved,
        }
        write_atomically(self.config_file, json.dumps(record, indent=2) + "\n")

    def result(self) -> dict[str, Any] | None:
        """Returns the result of a finished run, or None."""
        if not self.result_file.is_file():
            return None
        return json.loads(self.result_file.read_text())

    def finish(self, result: dict[str, Any], outcomes: dict[str, np.ndarray]) -> None:
        """Writes what every test example was taken for, and then the result, which ends the run."""
        partial = self.predictions_file.with_suffix(".partial.npz")
        classes = np.uint8 if len(result["test"]["confusion"]) <= 256 else np.uint16
        np.savez_compressed(
            partial,
            prediction=outcomes["prediction"].astype(classes),
            label=outcomes["label"].astype(classes),
            loss=outcomes["loss"].astype(np.float32),
        )
        os.replace(partial, self.predictions_file)
        write_atomically(self.result_file, json.dumps(result, indent=2) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file in one step: a reader sees the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may write one file at the same time.
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    with open(partial, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
