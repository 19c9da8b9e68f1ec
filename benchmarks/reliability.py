"""What is lost when a run is killed, damaged, crowded out or left alone: nothing, as tried here.

    python benchmarks/reliability.py [--times=20] [--minutes=120] [--only=kill] [--out=FILE]
    python benchmarks/reliability.py --page

Every fault is really done to runs of a small network in processes of their own, which are then
gone on with by the same command. What they leave is compared with a run that nothing happened to:
state, metrics, predictions and result have to be equal to the last bit. `--page` writes
docs/reliability.md from the committed result file.
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from benchmarks import record
from cnn.config.entry import Parser, run_command
from cnn.training.logs import read_metrics

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"
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
# Ends the process before its so-manieth file operation below a folder, as Python announces them.
KILL_AT = """
import os, signal, sys
place, folder = int(sys.argv[1]), sys.argv[2]
left = place
def count(event, arguments):
    global left
    paths = [a for a in arguments if isinstance(a, str | os.PathLike)]
    if event in EVENTS and any(os.fspath(p).startswith(folder) for p in paths):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.utime"}
sys.addaudithook(count)
sys.argv = sys.argv[3:]
sys.path.insert(0, ".")
from cnn.commands.train import main
from cnn.config.entry import run_command
def counted(arguments):
    try:
        main(arguments)
    finally:
        print("operations", place - left, flush=True)
run_command(counted)
"""


def command(workdir: Path, *overrides: str) -> list[str]:
    """Returns what trains the small run."""
    fields = [f"--config.{text}" for text in (*CONFIG, *overrides)]
    return ["train.py", "--config=configs/base.py", f"--workdir={workdir}", *fields]


def start(*arguments: str, **options: Any) -> subprocess.Popen:
    """Starts Python in the repository."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, **streams, **options)


def finish(workdir: Path, *overrides: str) -> tuple[float, str]:
    """Goes on with a run to its end; returns the seconds to its first new step, and its output."""
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
        raise RuntimeError(f"the same command did not go on: {output[-300:]}{errors[-2000:]}")
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


class Trial:
    """Tries of one fault: what each left, beside a run that nothing happened to.

    Args:
      folder: for the runs.
      overrides: of the run.
    """

    def __init__(self, folder: Path, *overrides: str):
        self._overrides = overrides
        finish(folder / "undisturbed", *overrides)
        self._wanted = content(folder / "undisturbed")
        self._seconds: list[float] = []
        self._lost: list[str] = []
        self.said: dict[str, int] = {}

    def note(self, workdir: Path, what: str) -> None:
        """Goes on with a run, and notes whether it ends as the other did."""
        try:
            seconds, _ = finish(workdir, *self._overrides)
        except RuntimeError as error:
            self._lost.append(f"{what}: {error}")
            return
        self._seconds.append(seconds)
        found = content(workdir)
        if differing := [name for name in self._wanted if found[name] != self._wanted[name]]:
            self._lost.append(f"{what}: other {', '.join(differing)}")

    def wrong(self, what: str) -> None:
        """Notes an ending that is not as promised."""
        self._lost.append(what)

    def row(self) -> dict[str, Any]:
        """Returns what is kept of the tries."""
        tried = len(self._seconds) + len(self._lost)
        return {
            "tried": tried,
            "lost": self._lost,
            "seconds_to_go_on": round(float(np.median(self._seconds)), 1) if self._seconds else 0,
        }


def wait_until(process: subprocess.Popen, seconds: float) -> None:
    """Waits, but no longer than the process lives."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def kills(folder: Path, times: int, chance: random.Random) -> dict[str, Any]:
    """SIGKILL at random moments, three times a run."""
    trial = Trial(folder)
    for i in range(times):
        workdir = folder / f"run-{i}"
        for _ in range(3):
            process = start(*command(workdir))
            wait_until(process, chance.uniform(0.0, 8.0))
            process.kill()
            process.communicate()
        trial.note(workdir, f"run {i}")
    return trial.row()


def signals(folder: Path, times: int, chance: random.Random) -> dict[str, Any]:
    """SIGINT or SIGTERM at random moments; code and words have to be right too."""
    trial = Trial(folder)
    for i in range(times):
        workdir, number = folder / f"run-{i}", chance.choice([signal.SIGINT, signal.SIGTERM])
        process = start(*command(workdir))
        # Python itself takes some milliseconds before it can say anything.
        wait_until(process, chance.uniform(0.3, 8.0))
        process.send_signal(number)
        output, errors = process.communicate()
        stopped = errors == "stopped\n" or "the same command continues" in output
        if process.returncode and not (process.returncode == 128 + number and stopped):
            trial.wrong(f"run {i}: code {process.returncode}, {errors[-300:]}")
        trial.note(workdir, f"run {i}")
    return trial.row()


def operations(folder: Path) -> int:
    """Returns the number of file operations of a short run."""
    workdir = folder / "counted"
    output, errors = start(
        "-c", KILL_AT, str(10**9), str(workdir), *command(workdir, *SHORT)
    ).communicate()
    found = re.search(r"operations (\d+)", output)
    if not found:
        raise RuntimeError(errors)
    return int(found[1])


def kill_at_operations(
    folder: Path, times: int, chance: random.Random, every: bool = False
) -> dict[str, Any]:
    """SIGKILL before a file operation of a short run: some of them, or every one."""
    trial, count = Trial(folder, *SHORT), operations(folder)
    places = range(1, count + 1)
    for place in places if every else sorted(chance.sample(places, min(times, count))):
        workdir = folder / f"place-{place}"
        arguments = ["-c", KILL_AT, str(place), str(workdir), *command(workdir, *SHORT)]
        process = start(*arguments)
        process.communicate()
        if process.returncode not in (-signal.SIGKILL, 0):
            trial.wrong(f"operation {place}: code {process.returncode}")
        trial.note(workdir, f"operation {place}")
    return trial.row() | {"operations": count}


def damage(folder: Path, times: int, chance: random.Random) -> dict[str, Any]:
    """A byte of the newest checkpoint changed, a file of it cut or removed."""
    trial = Trial(folder)
    for i in range(times):
        workdir = folder / f"run-{i}"
        shutil.copytree(folder / "undisturbed", workdir)
        (workdir / "result.json").unlink()
        newest = max((workdir / "checkpoints").iterdir(), key=lambda path: int(path.name))
        files = sorted(f for f in newest.rglob("*") if f.is_file() and f.stat().st_size)
        file, kind = chance.choice(files), chance.choice(["flipped", "cut", "removed"])
        text = bytearray(file.read_bytes())
        if kind == "flipped":
            text[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
            file.write_bytes(text)
        elif kind == "cut":
            file.write_bytes(text[: chance.randrange(len(text))])
        else:
            file.unlink()
        trial.note(workdir, f"{kind} {file.relative_to(newest)}")
    return trial.row()


def small_files(folder: Path, times: int, chance: random.Random) -> dict[str, Any]:
    """No file may grow beyond a limit, as on a full disk, at limits from nothing to enough."""
    trial = Trial(folder)
    for i in range(times):
        workdir, limit = folder / f"run-{i}", int(10 ** chance.uniform(0, 5))

        def crowd(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        process = start(*command(workdir), preexec_fn=crowd)
        _, errors = process.communicate()
        lines = errors.splitlines()
        if process.returncode and not (
            process.returncode == 2 and len(lines) == 1 and lines[0].startswith("error: ")
        ):
            trial.wrong(f"{limit} bytes: code {process.returncode}, {errors[-300:]}")
        trial.note(workdir, f"{limit} bytes")
    return trial.row()


def full_disk(folder: Path, times: int, chance: random.Random) -> dict[str, Any]:
    """A disk that is full, of sizes from nothing to enough; needs the right to mount one."""
    trial, disk = Trial(folder), folder / "disk"
    disk.mkdir()
    for i in range(times):
        size = int(10 ** chance.uniform(3.7, 6.2))
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return {"tried": 0, "lost": [], "seconds_to_go_on": 0, "note": "no right to mount"}
        try:
            process = start(*command(disk / "run"))
            _, errors = process.communicate()
            lines = errors.splitlines()
            if process.returncode and not (
                process.returncode == 2 and len(lines) == 1 and lines[0].startswith("error: ")
            ):
                trial.wrong(f"{size} bytes: code {process.returncode}, {errors[-300:]}")
            workdir = folder / f"run-{i}"
            if (disk / "run").exists():
                shutil.copytree(disk / "run", workdir)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
        trial.note(workdir, f"{size} bytes")
    return trial.row()


def hosts(folder: Path, times: int, chance: random.Random) -> dict[str, Any]:
    """One of two processes of a run killed, or asked to stop, at random moments."""

    def both(workdir: Path) -> list[subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
        return [
            start(
                *command(workdir, "mesh.devices=0"),
                f"--hosts=127.0.0.1:{port},2,{index}",
                env=os.environ | flags,
            )
            for index in range(2)
        ]

    def end(processes: list[subprocess.Popen]) -> tuple[list[int], list[str]]:
        told = [process.communicate()[1] for process in processes]
        return [process.returncode for process in processes], told

    end(both(folder / "undisturbed"))
    wanted, lost, seconds = content(folder / "undisturbed"), [], []
    for i in range(times):
        workdir, host = folder / f"run-{i}", chance.randrange(2)
        number = chance.choice([signal.SIGKILL, signal.SIGTERM])
        processes = both(workdir)
        wait_until(processes[host], chance.uniform(0.5, 15.0))
        processes[host].send_signal(number)
        begun = time.monotonic()
        codes, told = end(processes)
        seconds.append(time.monotonic() - begun)
        right = 3 if number == signal.SIGKILL else 143
        if codes[1 - host] not in (right, 0, 2 if number == signal.SIGKILL else right):
            lost.append(f"run {i}: {number.name} to host {host}: {codes} {told[1 - host][-300:]}")
        codes, told = end(both(workdir))
        if codes != [0, 0]:
            lost.append(f"run {i}: {codes} {told}")
        elif content(workdir) != wanted:
            lost.append(f"run {i}: other content")
    return {"tried": times, "lost": lost, "seconds_to_end": round(float(np.median(seconds)), 1)}


def evaluations(folder: Path, times: int, chance: random.Random) -> dict[str, Any]:
    """SIGKILL to eval.py at a random moment; the same command then says the same."""
    workdir, lost, seconds = folder / "run", [], []
    finish(workdir, *SHORT)
    arguments = ["eval.py", f"--workdir={workdir}", "--suite=accuracy,calibration"]

    def found() -> str:
        begun = time.monotonic()
        process = start(*arguments)
        _, errors = process.communicate()
        seconds.append(time.monotonic() - begun)
        files = sorted((workdir / "evaluation").rglob("*.json"))
        return errors + "".join(file.read_text() for file in files)

    wanted = found()
    for i in range(times):
        shutil.rmtree(workdir / "evaluation", ignore_errors=True)
        process = start(*arguments)
        wait_until(process, chance.uniform(0.0, 8.0))
        process.kill()
        process.communicate()
        if found() != wanted:
            lost.append(f"try {i}: other results")
    return {
        "tried": times,
        "lost": lost,
        "seconds_to_go_on": round(float(np.median(seconds)), 1),
    }


def studies(folder: Path, times: int, chance: random.Random) -> dict[str, Any]:
    """SIGKILL to a worker of a study, to its runner, or to both, at a random moment."""

    def arguments(workdir: Path) -> list[str]:
        study = ["ablate.py", "run", "--config=tests/ablation/study_tiny.py", "--workers=2"]
        return [*study, f"--workdir={workdir}"]

    def table(workdir: Path) -> list[str]:
        rows = (workdir / "report.csv").read_text().splitlines()
        place = rows[0].split(",").index("step_time_ms")
        return [",".join(v for i, v in enumerate(r.split(",")) if i != place) for r in rows]

    start(*arguments(folder / "undisturbed")).communicate()
    wanted, lost, seconds = table(folder / "undisturbed"), [], []
    for i in range(times):
        workdir, whom = folder / f"study-{i}", chance.choice(["worker", "runner", "both"])
        runner = start(*arguments(workdir))
        wait_until(runner, chance.uniform(2.0, 20.0))
        children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children")
        workers = [int(p) for p in children.read_text().split()] if children.exists() else []
        for pid in {"worker": workers[:1], "runner": [], "both": workers}[whom]:
            os.kill(pid, signal.SIGKILL)
        if whom != "worker":
            runner.kill()
        runner.communicate()
        begun = time.monotonic()
        # A run that a killed worker held is reported as failed, and trained by the next command.
        again = start(*arguments(workdir))
        _, errors = again.communicate()
        seconds.append(time.monotonic() - begun)
        if again.returncode or table(workdir) != wanted:
            lost.append(f"{whom} of study {i}: code {again.returncode}, {errors[-300:]}")
    return {
        "tried": times,
        "lost": lost,
        "seconds_to_end": round(float(np.median(seconds)), 1),
    }


def soak(folder: Path, minutes: float) -> dict[str, Any]:
    """Memory, open files and threads of one process that trains for long."""
    process = start(*command(folder / "run", "train.duration=100000000 steps"))
    rows, begun = [], time.monotonic()
    while process.poll() is None and time.monotonic() - begun < 60 * minutes:
        wait_until(process, max(5.0, 60 * minutes / 40))
        status = Path(f"/proc/{process.pid}/status").read_text()
        rows.append(
            {
                "minutes": round((time.monotonic() - begun) / 60, 1),
                "MB": round(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024),
                "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
                "files": len(os.listdir(f"/proc/{process.pid}/fd")),
            }
        )
    process.terminate()
    process.communicate()
    steps = [row["step"] for row in read_metrics(folder / "run" / "metrics.jsonl")]
    return {"minutes": minutes, "steps": max(steps), "rows": rows}


FAULTS: dict[str, Callable[..., dict[str, Any]]] = {
    "SIGKILL at random moments, three times a run": kills,
    "SIGINT or SIGTERM at a random moment": signals,
    "SIGKILL before a file operation": kill_at_operations,
    "Newest checkpoint damaged: a bit flipped, a file cut or removed": damage,
    "Files limited in size": small_files,
    "Disk full": full_disk,
    "eval.py: SIGKILL at a random moment": evaluations,
    "Study: SIGKILL to worker, runner or both": studies,
    "Two hosts: SIGKILL or SIGTERM to one": hosts,
}


def page(result: dict[str, Any]) -> str:
    """Returns docs/reliability.md with the table of a result."""
    lines = ["| fault | tried | lost | seconds to go on |", "| --- | ---: | --- | ---: |"]
    for name, row in result["faults"].items():
        if "tried" not in row:
            continue
        lost = f"{len(row['lost'])} of {row['tried']}" if row["lost"] else "nothing"
        seconds = row.get("seconds_to_go_on", row.get("seconds_to_end", ""))
        if "operations" in row:
            name += f" (a short run has {row['operations']})"
        if row["tried"]:
            lines.append(f"| {name} | {row['tried']} | {lost} | {seconds} |")
    soaked = result["faults"].get("soak")
    if soaked:
        first, last = soaked["rows"][len(soaked["rows"]) // 4], soaked["rows"][-1]
        lines += [
            "",
            f"One process that trained {soaked['steps']:,} steps in {soaked['minutes']:g} minutes "
            f"held {first['MB']} MB, {first['threads']} threads and {first['files']} open files "
            f"after a quarter of them, and {last['MB']}, {last['threads']} and {last['files']} at "
            "the end.",
        ]
    made = result["conditions"]
    lines += ["", f"Made on {made['date']}, {made['cpu']}, jax {made['versions']['jax']}."]
    before, _, rest = PAGE.read_text().partition("<!-- faults -->\n")
    after = rest.partition("<!-- end faults -->")[2]
    return f"{before}<!-- faults -->\n" + "\n".join(lines) + f"\n<!-- end faults -->{after}"


def main(arguments: list[str]) -> None:
    """Does the faults, prints a line for each and writes the JSON file; or writes the page."""
    parser = Parser(prog="benchmarks/reliability.py", description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=20, help="tries of each fault")
    parser.add_argument("--minutes", type=float, default=120.0, help="of the soak")
    parser.add_argument("--every", action="store_true", help="a kill at every file operation")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and places")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--out", default="", help="JSON file to write")
    parser.add_argument("--page", action="store_true", help="write docs/reliability.md")
    flags = parser.parse_args(arguments)
    if flags.page:
        PAGE.write_text(page(json.loads(RESULT.read_text())))
        return
    conditions = record.conditions(times=flags.times, seed=flags.seed)
    # A part of the faults leaves the other rows of the file as they are.
    kept = flags.only and Path(flags.out).is_file()
    faults = json.loads(Path(flags.out).read_text())["faults"] if kept else {}
    result: dict[str, Any] = {"conditions": conditions, "faults": faults}
    for name, fault in FAULTS.items():
        if flags.only not in name:
            continue
        more = {"every": True} if flags.every and fault is kill_at_operations else {}
        with tempfile.TemporaryDirectory() as folder:
            row = fault(Path(folder), flags.times, random.Random(flags.seed), **more)
        result["faults"][name] = row
        print(f"{name}: {row['tried']} tried, lost: {row['lost'] or 'nothing'}", flush=True)
        record.write(flags.out, result)
    if flags.minutes and flags.only in "soak":
        with tempfile.TemporaryDirectory() as folder:
            result["faults"]["soak"] = soak(Path(folder), flags.minutes)
        print(f"soak: {result['faults']['soak']['rows'][-1]}", flush=True)
        record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
