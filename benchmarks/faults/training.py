"""Kills and signals while a run trains."""

import random
import signal
import subprocess
import time
from pathlib import Path

from benchmarks.faults.fault import Fault, Outcome
from benchmarks.faults.operations import killed_before, operations, shuffled_places
from benchmarks.faults.processes import (
    EARLIEST,
    SHORT,
    Undisturbed,
    command,
    killed,
    start,
    wait_until,
)


def kills(folder: Path) -> Fault:
    """SIGKILL at random moments, three times a run."""
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        for _ in range(3):
            process = start(*command(workdir))
            calm.wait(process, workdir, chance)
            killed(process)
        return calm.resume(workdir, f"try {number}")

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
        return calm.resume(workdir, f"try {number}")

    return Fault(attempt)


def signals(folder: Path) -> Fault:
    """SIGINT or SIGTERM at random moments; exit code and message must be right too."""
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        process = start(*command(workdir))
        calm.wait(process, workdir, chance)
        wrong = _signalled(process, chance.choice([signal.SIGINT, signal.SIGTERM]))
        return calm.resume(workdir, f"try {number}", wrong)

    return Fault(attempt)


def interrupted_start(folder: Path) -> Fault:
    """SIGINT while Python imports, the step compiles or the first steps are made."""
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        process = start(*command(workdir))
        moment = chance.uniform(EARLIEST, 5.0)
        wait_until(process, moment)
        wrong = _signalled(process, signal.SIGINT)
        return calm.resume(workdir, f"try {number}, {moment:.2f} s", wrong)

    return Fault(attempt)


def _signalled(process: subprocess.Popen, chosen: signal.Signals) -> str:
    """Sends a signal; returns what was not as promised about the end.

    Nothing is promised before Python, which starts late on a busy machine, handles the signal.
    """
    handled = process.poll() is not None or _handles(process.pid, chosen)
    process.send_signal(chosen)
    output, errors = process.communicate()
    if not handled:
        return ""
    stopped = errors == "stopped\n" or "the same command continues" in output
    right = not process.returncode or (process.returncode == 128 + chosen and stopped)
    return "" if right else f"code {process.returncode}, {errors[-300:]}; "


def kill_at_operations(folder: Path) -> Fault:
    """SIGKILL before a file operation of a short run, each time another one."""
    calm = Undisturbed(folder / "undisturbed", *SHORT)
    counted = folder / "counted"
    places = shuffled_places(operations(counted, command(counted, *SHORT)))

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        place = places[number]
        wrong = killed_before(place, workdir, command(workdir, *SHORT))
        return calm.resume(workdir, f"operation {place}", wrong)

    return Fault(attempt, len(places))


def _handles(pid: int, chosen: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, as Linux tells."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (chosen - 1) & 1)
