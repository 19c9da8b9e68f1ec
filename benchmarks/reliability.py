"""What is lost when a run is killed, damaged or crowded out: nothing, as tried here.

    python benchmarks/reliability.py --out=FILE [--times=20] [--only=hosts]
    python benchmarks/reliability.py --page

Every fault is really done to runs of a small network in processes of their own, which are then
gone on with by the same command. What they leave is compared with a run that nothing happened to:
state, metrics, predictions and result have to be equal to the last bit. Every try is written down
as soon as it has ended, and the same command makes those that are missing: of all faults, or of
those whose names contain `--only`. `--page` writes docs/reliability.md from the committed result
file.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from benchmarks import record
from cnn.config.entry import Parser, run_command
from cnn.training.logs import read_metrics

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "reliability.json"
SOAK = RESULT.with_name("soak.json")
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
# Kills a command before its n-th file operation below a folder, as Python announces them.
KILL_AT = """
import importlib, os, signal, sys
place, folder, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
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
main = importlib.import_module(f"cnn.commands.{name.removesuffix('.py')}").main
from cnn.config.entry import run_command
def counted(arguments):
    try:
        main(arguments)
    finally:
        print("operations", place - left, flush=True)
run_command(counted)
"""
LIVES_ON = 120.0  # seconds after which a process that should have ended counts as lost


@dataclass(frozen=True)
class Outcome:
    """What became of one try.

    Attributes:
      seconds: until the same command had made its first new step or, where it makes none, its end;
        of hosts and orphans until they had ended.
      lost: what was not as promised, in words; "" for nothing.
    """

    seconds: float
    lost: str = ""


# (folder of the try, its random numbers, its number) -> what became of it.
Try = Callable[[Path, random.Random, int], Outcome]


@dataclass(frozen=True)
class Fault:
    """A kind of fault that can be tried again and again.

    Attributes:
      attempt: does it once.
      most: how many different tries there are; 0 for any number.
    """

    attempt: Try
    most: int = 0


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


class Undisturbed:
    """A run that nothing happened to, beside which others are laid.

    Args:
      folder: of the run.
      overrides: of it and of those.
    """

    def __init__(self, folder: Path, *overrides: str):
        self._overrides = overrides
        finish(folder, *overrides)
        self._wanted = content(folder)
        self._logged = (folder / "metrics.jsonl").stat().st_size

    def goes_on(self, workdir: Path, what: str, wrong: str = "") -> Outcome:
        """Goes on with a run, and says whether it ends as this one did.

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
        """Waits for a moment of a run: one in four while it starts, else anywhere on its way."""
        if chance.random() < 0.25:
            # Python itself takes some milliseconds before it can say anything.
            wait_until(process, chance.uniform(0.3, 5.0))
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


def kills(folder: Path) -> Fault:
    """SIGKILL at random moments, three times a run."""
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        for _ in range(3):
            process = start(*command(workdir))
            calm.wait(process, workdir, chance)
            killed(process)
        return calm.goes_on(workdir, f"try {number}")

    return Fault(attempt)


def final_evaluation(folder: Path) -> Fault:
    """SIGKILL once the last step is saved, so that evaluation and result are missing."""
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        process = start(*command(workdir))
        last = workdir / "checkpoints" / "300"
        while process.poll() is None and not last.exists():
            time.sleep(0.001)
        wait_until(process, chance.uniform(0.0, 1.0))
        killed(process)
        return calm.goes_on(workdir, f"try {number}")

    return Fault(attempt)


def signals(folder: Path) -> Fault:
    """SIGINT or SIGTERM at random moments; code and words have to be right too."""
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        chosen = chance.choice([signal.SIGINT, signal.SIGTERM])
        process = start(*command(workdir))
        calm.wait(process, workdir, chance)
        process.send_signal(chosen)
        output, errors = process.communicate()
        stopped = errors == "stopped\n" or "the same command continues" in output
        wrong = ""
        if process.returncode and not (process.returncode == 128 + chosen and stopped):
            wrong = f"code {process.returncode}, {errors[-300:]}; "
        return calm.goes_on(workdir, f"try {number}", wrong)

    return Fault(attempt)


def operations(folder: Path, arguments: list[str]) -> int:
    """Returns the number of file operations of a command below a folder."""
    output, errors = start("-c", KILL_AT, str(10**9), str(folder), *arguments).communicate()
    found = re.search(r"operations (\d+)", output)
    if not found:
        raise RuntimeError(errors)
    return int(found[1])


def killed_before(place: int, folder: Path, arguments: list[str]) -> str:
    """Kills a command before one of its file operations; returns what went wrong with that."""
    process = start("-c", KILL_AT, str(place), str(folder), *arguments)
    _, errors = process.communicate()
    if process.returncode in (-signal.SIGKILL, 0):
        return ""
    return f"code {process.returncode}, {errors[-300:]}; "


def in_some_order(count: int) -> list[int]:
    """Returns the numbers from 1 on in an order that is always the same."""
    return random.Random(count).sample(range(1, count + 1), count)


def kill_at_operations(folder: Path) -> Fault:
    """SIGKILL before a file operation of a short run, each time another one."""
    calm = Undisturbed(folder / "undisturbed", *SHORT)
    counted = folder / "counted"
    places = in_some_order(operations(counted, command(counted, *SHORT)))

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        place = places[number]
        wrong = killed_before(place, workdir, command(workdir, *SHORT))
        return calm.goes_on(workdir, f"operation {place}", wrong)

    return Fault(attempt, len(places))


def damage(folder: Path) -> Fault:
    """A byte of the newest checkpoint changed, a file of it cut or removed."""
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
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
        return calm.goes_on(workdir, f"{kind} {file.relative_to(newest)}")

    return Fault(attempt)


def refused(process: subprocess.Popen) -> str:
    """Waits for a process that may end well or in one sentence; returns what else it did."""
    _, errors = process.communicate()
    lines = errors.splitlines()
    told = process.returncode == 2 and len(lines) == 1 and lines[0].startswith("error: ")
    return "" if told or not process.returncode else f"code {process.returncode}, {errors[-300:]}; "


def small_files(folder: Path) -> Fault:
    """No file may grow beyond a limit, as on a full disk, at limits from nothing to enough."""
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        limit = int(10 ** chance.uniform(0, 5))

        def crowd() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        wrong = refused(start(*command(workdir), preexec_fn=crowd))
        return calm.goes_on(workdir, f"{limit} bytes", wrong)

    return Fault(attempt)


def full_disk(folder: Path) -> Fault | None:
    """A disk that is full, of sizes from nothing to enough; None without the right to mount one."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return None
    subprocess.run(["umount", str(disk)], check=True)
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        size = int(10 ** chance.uniform(3.7, 6.2))
        subprocess.run([*mount, "-o", f"size={size}"], check=True)
        try:
            wrong = refused(start(*command(disk / "run")))
            if (disk / "run").exists():
                shutil.copytree(disk / "run", workdir)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
        return calm.goes_on(workdir, f"{size} bytes", wrong)

    return Fault(attempt)


def hosts(folder: Path) -> Fault:
    """One of two processes of a run killed, or asked to stop, at a random step."""

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

    def end(
        processes: list[subprocess.Popen], within: float | None = None
    ) -> tuple[list[int], list[str]]:
        """Waits for the end of both; kills what lives on, whose code is that of SIGKILL."""
        told = []
        for process in processes:
            try:
                told.append(process.communicate(timeout=within)[1])
            except subprocess.TimeoutExpired:
                process.kill()
                told.append(process.communicate()[1])
        return [process.returncode for process in processes], told

    end(both(folder / "undisturbed"))
    wanted = content(folder / "undisturbed")
    logged = (folder / "undisturbed" / "metrics.jsonl").stat().st_size

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        host, chosen = number % 2, (signal.SIGKILL, signal.SIGTERM)[number // 2 % 2]
        file, size = workdir / "metrics.jsonl", chance.uniform(0.0, 0.9 * logged)
        processes = both(workdir)
        while processes[host].poll() is None and not (
            file.exists() and file.stat().st_size >= size
        ):
            time.sleep(0.002)
        processes[host].send_signal(chosen)
        begun = time.monotonic()
        codes, told = end(processes, LIVES_ON)
        seconds, lost = time.monotonic() - begun, []
        # A lost host is told by code 3, and a signal to one is obeyed by both.
        promised = 3 if chosen == signal.SIGKILL else 128 + chosen
        if codes[1 - host] != promised:
            lost.append(f"{chosen.name} to host {host}: codes {codes} {told[1 - host][-300:]}")
        codes, told = end(both(workdir))
        if codes != [0, 0]:
            lost.append(f"{codes} {told}")
        elif content(workdir) != wanted:
            lost.append("other content")
        return Outcome(seconds, f"try {number}: {'; '.join(lost)}" if lost else "")

    return Fault(attempt)


def results_of(folder: Path) -> dict[str, str]:
    """Returns what eval.py has found for a run, by file."""
    files = sorted((folder / "evaluation").rglob("*.json"))
    return {str(file.relative_to(folder)): file.read_text() for file in files}


def evaluations(folder: Path) -> Fault:
    """SIGKILL to eval.py before a file operation, each time another one."""
    calm, counted = folder / "undisturbed", folder / "counted"
    finish(calm, *SHORT)
    shutil.copytree(calm, counted)

    def arguments(workdir: Path) -> list[str]:
        return ["eval.py", f"--workdir={workdir}", "--suite=accuracy,calibration"]

    places = in_some_order(operations(counted, arguments(counted)))
    wanted = results_of(counted)

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        shutil.copytree(calm, workdir)
        wrong = killed_before(places[number], workdir, arguments(workdir))
        begun = time.monotonic()
        again = start(*arguments(workdir))
        _, errors = again.communicate()
        if again.returncode or results_of(workdir) != wanted:
            wrong += f"code {again.returncode}, {errors[-300:]}, or other results"
        what = f"operation {places[number]}: "
        return Outcome(time.monotonic() - begun, what + wrong if wrong else "")

    return Fault(attempt, len(places))


def study(workdir: Path) -> list[str]:
    """Returns what runs a small study, of which one arm diverges."""
    chosen = ["ablate.py", "run", "--config=tests/ablation/study_tiny.py", "--workers=2"]
    return [*chosen, f"--workdir={workdir}"]


def report_of(workdir: Path) -> dict[str, list[str]]:
    """Returns the rows of a study's report, but for times."""
    rows = (workdir / "report.csv").read_text().splitlines()
    place = rows[0].split(",").index("step_time_ms")
    return {
        "report.csv": [
            ",".join(v for i, v in enumerate(row.split(",")) if i != place) for row in rows
        ]
    }


def studies(folder: Path) -> Fault:
    """SIGKILL to a worker of a study, to its runner, or to both, at a random moment."""
    start(*study(folder / "undisturbed")).communicate()
    wanted = report_of(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        whom = ("worker", "runner", "both")[number % 3]
        runner, ended = start(*study(workdir)), chance.randrange(6)
        while runner.poll() is None and len(list(workdir.glob("*/*/result.json"))) < ended:
            time.sleep(0.01)
        wait_until(runner, chance.uniform(0.0, 3.0))
        children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children")
        workers = [int(p) for p in children.read_text().split()] if children.exists() else []
        for pid in {"worker": workers[:1], "runner": [], "both": workers}[whom]:
            os.kill(pid, signal.SIGKILL)
        if whom != "worker":
            runner.kill()
        wrong = ""
        try:
            # Workers hold the pipes of their runner: this waits for orphans too.
            runner.communicate(timeout=LIVES_ON)
        except subprocess.TimeoutExpired:
            wrong = "workers live on without their runner; "
        begun = time.monotonic()
        # A run that a killed worker held is reported as failed, and trained by the next command.
        again = start(*study(workdir))
        _, errors = again.communicate()
        if again.returncode or report_of(workdir) != wanted:
            wrong += f"code {again.returncode}, {errors[-300:]}, or another report"
        lost = f"{whom} of try {number}: {wrong}" if wrong else ""
        return Outcome(time.monotonic() - begun, lost)

    return Fault(attempt)


def reports(folder: Path) -> Fault:
    """SIGKILL to `ablate.py report` before a file operation, each time another one."""
    calm, counted = folder / "undisturbed", folder / "counted"
    start(*study(calm)).communicate()
    shutil.copytree(calm, counted)

    def arguments(workdir: Path) -> list[str]:
        return ["ablate.py", "report", f"--workdir={workdir}"]

    places = in_some_order(operations(counted, arguments(counted)))
    names = [file.name for file in sorted(counted.glob("report*"))]

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        shutil.copytree(calm, workdir)
        wrong = killed_before(places[number], workdir, arguments(workdir))
        begun = time.monotonic()
        again = start(*arguments(workdir))
        _, errors = again.communicate()
        if again.returncode or report_of(workdir) != report_of(counted):
            wrong += f"code {again.returncode}, {errors[-300:]}, or another report"
        if missing := [name for name in names if not (workdir / name).is_file()]:
            wrong += f"without {', '.join(missing)}"
        what = f"operation {places[number]}: "
        return Outcome(time.monotonic() - begun, what + wrong if wrong else "")

    return Fault(attempt, len(places))


FAULTS: dict[str, Callable[[Path], Fault | None]] = {
    "Training: SIGKILL at random moments, three times a run": kills,
    "Training: SIGKILL in the final evaluation": final_evaluation,
    "Training: SIGKILL before a file operation": kill_at_operations,
    "Training: SIGINT or SIGTERM at a random moment": signals,
    "Newest checkpoint damaged: a bit flipped, a file cut or removed": damage,
    "Files limited in size": small_files,
    "Disk full": full_disk,
    "eval.py: SIGKILL before a file operation": evaluations,
    "Study: SIGKILL to worker, runner or both": studies,
    "Report of a study: SIGKILL before a file operation": reports,
    "Two hosts: SIGKILL or SIGTERM to one": hosts,
}


def page(result: dict[str, Any]) -> str:
    """Returns docs/reliability.md with the table of a result."""
    lines = ["| fault | tried | lost | seconds to go on |", "| --- | ---: | --- | ---: |"]
    for name, row in result["faults"].items():
        if row["most"]:
            name += f" (of {row['most']})"
        lost = f"{len(row['lost'])}" if row["lost"] else "nothing"
        seconds = round(float(np.median(row["seconds"])), 1)
        lines.append(f"| {name} | {len(row['seconds'])} | {lost} | {seconds} |")
    if SOAK.is_file():
        soaked = json.loads(SOAK.read_text())
        first, last = soaked["first"], soaked["last"]
        lines += [
            "",
            f"One process that trained {soaked['steps']:,} steps in {soaked['minutes']:g} minutes "
            f"held {first['mib']} MiB, {first['threads']} threads and {first['files']} open files "
            f"after a quarter of them, and {last['mib']}, {last['threads']} and {last['files']} at "
            "the end (`benchmarks/soak.py`).",
        ]
    made = result["conditions"]
    lines += [
        "",
        f"Made by `make reliability` on {made['date']}, {made['cpu']}, jax "
        f"{made['versions']['jax']}, commit {made['commit']}.",
    ]
    lines += [f"- {name}: {one}" for name, row in result["faults"].items() for one in row["lost"]]
    before, _, rest = PAGE.read_text().partition("<!-- faults -->\n")
    after = rest.partition("<!-- end faults -->")[2]
    return f"{before}<!-- faults -->\n" + "\n".join(lines) + f"\n<!-- end faults -->{after}"


def attempts(
    make: Callable[[Path], Fault | None], name: str, row: dict[str, Any], times: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Makes the tries of a fault that are missing; yields its row after each."""
    with tempfile.TemporaryDirectory() as folder:
        fault = make(Path(folder))
        if fault is None:
            print(f"{name}: not tried, without the right to mount", flush=True)
            return
        row["most"] = fault.most
        for number in range(len(row["seconds"]), min(times, fault.most or times)):
            chance = random.Random(f"{seed} {name} {number}")
            outcome = fault.attempt(Path(folder) / f"try-{number}", chance, number)
            row["seconds"].append(round(outcome.seconds, 2))
            row["lost"] += [outcome.lost] if outcome.lost else []
            print(f"{name}, try {number}: {outcome.lost or 'nothing lost'}", flush=True)
            yield row


def main(arguments: list[str]) -> None:
    """Makes the tries that are missing and writes each down; or writes the page."""
    parser = Parser(prog="benchmarks/reliability.py", description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=20, help="tries of each fault")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and places")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--out", default="", help="JSON file to write, or to add to")
    parser.add_argument("--page", action="store_true", help="write docs/reliability.md")
    flags = parser.parse_args(arguments)
    if flags.page:
        PAGE.write_text(page(json.loads(RESULT.read_text())))
        return
    there = Path(flags.out).is_file() if flags.out else False
    result: dict[str, Any] = json.loads(Path(flags.out).read_text()) if there else {"faults": {}}
    result["conditions"] = record.conditions(seed=flags.seed)
    for name, make in FAULTS.items():
        row = result["faults"].get(name, {"most": 0, "seconds": [], "lost": []})
        wanted = min(flags.times, row["most"] or flags.times)
        if flags.only in name and len(row["seconds"]) < wanted:
            for made in attempts(make, name, row, flags.times, flags.seed):
                result["faults"][name] = made
                record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
