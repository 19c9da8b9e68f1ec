"""Kills of what evaluates a run, trains a study or writes its report."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from benchmarks.faults.fault import Fault, Outcome
from benchmarks.faults.operations import killed_before, operations, shuffled_places
from benchmarks.faults.processes import LIVES_ON, SHORT, finish, start, wait_until


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

    places = shuffled_places(operations(counted, arguments(counted)))
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

    places = shuffled_places(operations(counted, arguments(counted)))
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
