"""The commands of the README and of the page about studies, run as they stand.

In a copy of the repository, in a shell, without the variables that the tests set. A command that
trains gets what the README says a try takes.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGES = ("README.md", "docs/studies.md")
TRY = '--config.train.duration="20 steps"'
# What needs a network connection or would run this very test: CI runs it through make. And the 40
# runs of a study, which take minutes of two cores however short each is (every run compiles and
# evaluates): tests/ablation/test_ablate.py gives the same commands a study of nine runs.
ELSEWHERE = {
    "make train",
    "make test",
    "python3 -m venv .venv",
    "pip install -r requirements.txt",
    "make ablation",
    "python ablate.py plan --config=configs/ablations/quick.py --delta=3",
    "python ablate.py run --config=configs/ablations/quick.py --workdir=runs/quick",
    "python ablate.py report --workdir=runs/quick",
}


def commands(page: str) -> list[str]:
    """The lines of the blocks of a page that are for a shell."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", (REPOSITORY / page).read_text(), re.S | re.M)
    return [line for language, block in blocks if not language for line in block.splitlines()]


def as_tried(command: str) -> str:
    """The command with what the README says makes it take seconds."""
    return f"{command} {TRY}" if command.startswith("python train.py ") else command


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of what git tracks, beside an environment that is installed."""
    place = tmp_path_factory.mktemp("clone")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in names.stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, place / name)
    environment = place / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        (environment / entry.name).symlink_to(entry)
    installed = environment / "installed-cpu"
    installed.unlink(missing_ok=True)
    installed.touch()
    return place


def run(command: str, place: Path) -> None:
    own = ("XLA_FLAGS", "JAX_PLATFORMS")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    done = subprocess.run(
        ["bash", "-c", f"set -e; source .venv/bin/activate; {as_tried(command)}"],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_every_command_that_is_documented_runs(copy):
    listed = list(dict.fromkeys(command for page in PAGES for command in commands(page)))
    assert len(listed) > 12
    assert set(listed) >= ELSEWHERE
    for command in listed:
        if command not in ELSEWHERE:
            run(command, copy)
    assert (copy / "runs" / "max" / "evaluation" / "eval.html").is_file()


def test_what_installs_is_run_by_make_and_ci():
    makefile, ci = ((REPOSITORY / name).read_text() for name in ("Makefile", ".ci/run"))
    assert "-m venv" in makefile
    assert "requirements.txt" in makefile
    assert "make train" in ci
    assert "make test" in ci
