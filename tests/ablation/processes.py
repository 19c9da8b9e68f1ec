"""Commands of ablate.py as processes, and waiting for what they do."""

import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import REPOSITORY

STUDY = "tests/ablation/study_tiny.py"


def command(name, workdir, *more):
    study = [f"--config={STUDY}"] if name == "run" else []
    return [sys.executable, "ablate.py", name, *study, f"--workdir={workdir}", *more]


def run(*arguments):
    return subprocess.run(
        arguments, cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False
    )


def wait_for(found, process):
    """Returns what `found()` finds, once it does."""
    while not (result := found()):
        assert process.poll() is None
        time.sleep(0.02)
    return result


def wait_until(done):
    """Waits up to ten seconds."""
    for _ in range(500):
        if done():
            return
        time.sleep(0.02)
    raise AssertionError("nothing changed within ten seconds")


def runs_on(pid):
    """Whether a process is alive; one that has ended may not have been collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid):
    """Returns the processes that a process of one thread has started."""
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
