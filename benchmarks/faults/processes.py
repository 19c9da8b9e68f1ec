"""Commands on a small run, in processes of their own, and what a run leaves."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.fault import Outcome
from cnn.training.logs import read_metrics

ROOT = Path(__file__).parents[2]
CONFIG = (
    "data.source=synthetic",
    "data.synthetic_shape=8,8,3",
    "data.synthetic_examples=72,37",
    "data.synthetic_classes=7",
    "data.validation=10 examples",
    "model.name=plain",
    "model.features=4,6",
    "model.dropout=0.2",
    "augment.flip=True",
    "train.ema_decay=0.9",
    "train.batch_size=16",
    "train.duration=300 steps",
    "evaluation.every=50 steps",
    "evaluation.batch_size=16",
    "checkpoint.every=25 steps",
    "log.every=5 steps",
    "mesh.devices=1",
)
SHORT = ("train.duration=12 steps", "evaluation.every=4 steps", "checkpoint.every=3 steps")
# Seconds before which a signal may find Python itself still starting, which has its own message.
EARLIEST = 0.1
LIVES_ON = 120.0  # seconds after which a process that should have ended counts as lost


def command(workdir: Path, *overrides: str) -> list[str]:
    """Returns what trains the small run."""
    fields = [f"--config.{text}" for text in (*CONFIG, *overrides)]
    return ["train.py", "--config=configs/base.py", f"--workdir={workdir}", *fields]


def start(*arguments: str, **options: Any) -> subprocess.Popen:
    """Starts Python in the repository."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, **streams, **options)


def finish(workdir: Path, *overrides: str) -> tuple[float, str]:
    """Resumes a run to its end; returns the seconds to its first new step, and its output."""
    begun = time.monotonic()
    process = start(*command(workdir, *overrides))
    file = workdir / "metrics.jsonl"
    before = file.stat().st_mtime_ns if file.exists() else 0
    resumed = None
    while process.poll() is None:
        if resumed is None and file.exists() and file.stat().st_mtime_ns != before:
            resumed = time.monotonic() - begun
        time.sleep(0.01)
    output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"not resumed by the same command: {output[-300:]}{errors[-2000:]}")
    return resumed or time.monotonic() - begun, output


def content(workdir: Path) -> dict[str, Any]:
    """Returns everything that must not depend on what happened on the way."""
    result = json.loads((workdir / "result.json").read_text())
    newest = max(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdecimal())
    meta = json.loads((workdir / "checkpoints" / str(newest) / "meta" / "metadata").read_text())
    predictions = np.load(workdir / "test_predictions.npz")
    return {
        "step": newest,
        "state": meta["sha256"],
        "window": meta["window"],
        "metrics": [
            (row["step"], row["split"], row["name"], row["value"])
            for row in read_metrics(workdir / "metrics.jsonl")
            if row["name"] != "images_per_second"
        ],
        "predictions": {name: predictions[name].tolist() for name in predictions.files},
        "result": {k: result[k] for k in ("step", "test", "validation", "best", "fingerprint")},
    }


class Undisturbed:
    """A run without faults, with which others are compared.

    Args:
      folder: of the run.
      overrides: of it and of those.
    """

    def __init__(self, folder: Path, *overrides: str):
        self._overrides = overrides
        finish(folder, *overrides)
        self._wanted = content(folder)
        self._logged = (folder / "metrics.jsonl").stat().st_size

    def resume(self, workdir: Path, what: str, wrong: str = "") -> Outcome:
        """Resumes a run and reports whether it ends as this one did.

        Args:
          workdir: of the run.
          what: was done to it.
          wrong: what was already not as promised.
        """
        try:
            seconds, _ = finish(workdir, *self._overrides)
        except RuntimeError as error:
            return Outcome(0.0, f"{what}: {wrong}{error}")
        found = content(workdir)
        differing = [name for name in self._wanted if found[name] != self._wanted[name]]
        if differing:
            wrong += f"other {', '.join(differing)}"
        return Outcome(seconds, f"{what}: {wrong}" if wrong else "")

    def wait(self, process: subprocess.Popen, workdir: Path, chance: random.Random) -> None:
        """Waits for a random moment of a run: one in four while it starts, else while it trains."""
        if chance.random() < 0.25:
            wait_until(process, chance.uniform(EARLIEST, 5.0))
            return
        file = workdir / "metrics.jsonl"
        size = chance.uniform(file.stat().st_size if file.exists() else 0, self._logged)
        while process.poll() is None and not (file.exists() and file.stat().st_size >= size):
            time.sleep(0.002)
        wait_until(process, chance.uniform(0.0, 0.1))


def wait_until(process: subprocess.Popen, seconds: float) -> None:
    """Waits, but no longer than the process lives."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def killed(process: subprocess.Popen) -> None:
    """Sends SIGKILL, and waits for the end."""
    process.kill()
    process.communicate()


def refused(process: subprocess.Popen) -> str:
    """Waits for a process that may succeed or fail with one sentence; returns anything else."""
    _, errors = process.communicate()
    lines = errors.splitlines()
    one_sentence = process.returncode == 2 and len(lines) == 1 and lines[0].startswith("error: ")
    return (
        ""
        if one_sentence or not process.returncode
        else f"code {process.returncode}, {errors[-300:]}; "
    )
