"""Whether a training that lasts stays flat: resident memory, open files and threads over time.

    python benchmarks/soak.py [--minutes=60] [--out=FILE]

One process trains a small network on streamed Fashion-MNIST images, with evaluations, checkpoints,
logs and TensorBoard files all the while; what it holds is read from /proc. The first quarter of the
time counts as the start. A straight line is fitted to the rest: flat means that the line rises by
less than 2 % of the memory, and that neither files nor threads become more.

TensorStore never frees the keys and values of a JSON object that it hands to Python
(`KvStore.Spec.to_json`, versions 0.1.66 to 0.1.86), and Orbax asks it for one for each array of
each checkpoint. What that comes to is measured here and does not count as a rise.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from benchmarks import record
from cnn.config.entry import Parser, run_command
from cnn.training.logs import read_metrics

ROOT = Path(__file__).parents[1]
FLAT = 0.02  # share of the memory
CHECKPOINT_EVERY = 500  # steps
CONFIG = (
    "data.train_split=train[:3200]",
    "data.validation=200 examples",
    "data.placement=stream",
    "data.workers=2",
    "augment.flip=True",
    "model.features=4,6",
    "train.ema_decay=0.9",
    "train.batch_size=32",
    "train.duration=100000000 steps",
    "evaluation.every=500 steps",
    f"checkpoint.every={CHECKPOINT_EVERY} steps",
    "checkpoint.keep=2",
    "log.every=100 steps",
    "mesh.devices=1",
)


def held(pid: int) -> dict[str, int]:
    """Returns the resident memory in MiB, the threads and the open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return {
        "mib": round(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024),
        "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
        "files": len(os.listdir(f"/proc/{pid}/fd")),
    }


def tensorstore_leak(folder: Path, calls: int = 1000) -> float:
    """Returns the bytes that each call of TensorStore's `KvStore.Spec.to_json` never frees."""
    import tensorstore

    spec = tensorstore.KvStore.Spec({"driver": "file", "path": f"{folder}/"})
    spec.to_json()
    tracemalloc.start()
    for _ in range(calls):
        spec.to_json()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / calls


def arrays(run: Path) -> int:
    """Returns the number of arrays in a checkpoint of a run."""
    file = next(run.glob("checkpoints/*/state/_METADATA"))
    return len(json.loads(file.read_text())["tree_metadata"])


def flatness(rows: list[dict[str, Any]], leaked: float = 0.0) -> dict[str, Any]:
    """Returns what each held after the start and at the end, the rise of the memory, and a verdict.

    Args:
      rows: {"minutes", "mib", "threads", "files"} over time; the first quarter is the start.
      leaked: MiB that TensorStore leaked in all that time, at an even rate.
    """
    rest = rows[len(rows) // 4 :]
    minutes, memory = ([row[name] for row in rest] for name in ("minutes", "mib"))
    slope = float(np.polyfit(minutes, memory, 1)[0])
    passed = minutes[-1] - minutes[0]
    rise, leaked = slope * passed, leaked * passed / minutes[-1]
    halves = rest[: len(rest) // 2], rest[len(rest) // 2 :]
    # Medians: a save in flight has threads and files of its own.
    more = [
        name
        for name in ("threads", "files")
        if np.median([row[name] for row in halves[1]]) > np.median([row[name] for row in halves[0]])
    ]
    return {
        "first": rest[0],
        "last": rest[-1],
        "rise_mib": round(rise, 2),
        "tensorstore_mib": round(leaked, 2),
        "flat": rise - leaked < FLAT * memory[0] and not more,
    }


def soak(folder: Path, minutes: float, readings: int = 120) -> dict[str, Any]:
    """Trains for some minutes; returns the steps made, what was held over time and `flatness`.

    Raises:
      RuntimeError: the training ended by itself.
    """
    fields = [f"--config.{text}" for text in CONFIG]
    config = "--config=configs/fashion_mnist_10k.py"
    command = [sys.executable, "train.py", config, f"--workdir={folder / 'run'}", *fields]
    with (folder / "screen").open("w") as screen:
        process = subprocess.Popen(command, cwd=ROOT, stdout=screen, stderr=screen)
    rows, begun = [], time.monotonic()
    for _ in range(readings):
        time.sleep(60 * minutes / readings)
        if process.poll() is not None:
            raise RuntimeError((folder / "screen").read_text()[-2000:])
        passed = (time.monotonic() - begun) / 60
        rows.append({"minutes": round(passed, 2), **held(process.pid)})
    process.terminate()
    process.wait()
    run = folder / "run"
    steps = max(row["step"] for row in read_metrics(run / "metrics.jsonl"))
    checkpoints = steps // CHECKPOINT_EVERY
    leaked = checkpoints * arrays(run) * tensorstore_leak(run / "checkpoints" / str(steps)) / 2**20
    return {
        "minutes": minutes,
        "steps": steps,
        "checkpoints": checkpoints,
        "code": process.returncode,
        **flatness(rows, leaked),
        "rows": rows,
    }


def main(arguments: list[str]) -> None:
    """Trains, prints what was held and writes the JSON file."""
    parser = Parser(prog="benchmarks/soak.py", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to train")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    made = record.conditions(config=CONFIG)
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), flags.minutes)
    print(json.dumps({name: value for name, value in found.items() if name != "rows"}))
    record.write(flags.out, {"conditions": made, **found})


if __name__ == "__main__":
    run_command(main)
