"""docs/extending.md, executed as it stands, from a folder outside the repository."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of the page, after its commands; and what each one printed."""
    folder = tmp_path_factory.mktemp("mine")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder, {command: run(folder, command) for command in COMMANDS}


def run(folder, command):
    """Returns what a command prints that begins with `python`, run as with an installed package."""
    done = subprocess.run(
        [sys.executable, *shlex.split(command)[1:]],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_block_of_the_page_is_executed():
    assert len(FILES) == PAGE.count("```python\n")
    assert PAGE.count("```") == 2 * (len(FILES) + PAGE.count("```sh\n"))
    assert all(command.startswith("python ") for command in COMMANDS)


def test_the_oracle_passes_and_the_card_is_shown(folder):
    tested, card, *_ = folder[1].values()
    assert "1 passed" in tested
    assert "y = sqrt(mean of x**2 + epsilon)" in card


def test_the_study_is_decided_by_the_metric_of_the_page(folder):
    runs = sorted(folder[0].glob("study/*/seed-*/result.json"))
    assert len(runs) == 6
    config = json.loads(runs[-1].read_text())["config"]
    assert [text.partition(" ")[0] for text in config["plugins"]] == [
        name for name in FILES if name.startswith("my_") and name != "my_study.py"
    ]
    assert config["model"]["downsample"] == "rms"
    (report,) = folder[0].glob("study/report.md")
    assert "darkened" in report.read_text().lower()


def test_evaluation_with_the_plugins_gives_what_the_study_measured(folder):
    page = folder[0] / "study" / "rms" / "seed-0" / "evaluation" / "eval.html"
    assert "Darkened images" in page.read_text()


def test_a_report_names_the_plugins_whose_suites_it_needs(folder):
    report = [sys.executable, "-m", "cnn", "ablate", "report", "--workdir=study"]
    refused = subprocess.run(
        report,
        cwd=folder[0],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    added = refused.stderr.partition("add: ")[2].split()
    assert "--plugin=my_suite.py" in added
    given = subprocess.run(
        [*report, *added],
        cwd=folder[0],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert given.returncode == 0, given.stderr
