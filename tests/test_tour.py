"""docs/tour.ipynb: its cells run as they stand, and were run when it was written."""

import json
import os
import subprocess
import sys

from benchmarks.execute_tour import NOTEBOOK, stamps
from tests.conftest import REPOSITORY

CELLS = [c for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == "code"]


def test_every_cell_was_executed_and_shows_pictures():
    assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))
    shown = [output.get("data", {}) for cell in CELLS for output in cell["outputs"]]
    assert sum("image/png" in data for data in shown) == 3
    assert not [o for cell in CELLS for o in cell["outputs"] if o["output_type"] == "error"]


def test_the_outputs_are_those_of_the_sources():
    printed = "run: python benchmarks/execute_tour.py"
    assert [cell["metadata"]["executed_sources"] for cell in CELLS] == list(stamps(CELLS)), printed
    # A change of a cell changes its own stamp and those of all cells after it.
    edited = [*CELLS[:3], CELLS[3] | {"source": ["changed"]}, *CELLS[4:]]
    same = [a == b for a, b in zip(stamps(edited), stamps(CELLS), strict=True)]
    assert same == [True] * 3 + [False] * (len(CELLS) - 3)


def test_the_cells_run(tmp_path):
    script = "\n".join("".join(cell["source"]) for cell in CELLS)
    # Two epochs are for readers; the cells are the same with fewer steps.
    short = script.replace("train.duration=2 epochs", "train.duration=40 steps")
    assert short != script
    (tmp_path / "tour.py").write_text(short.replace("Path.cwd()", f"Path({str(REPOSITORY)!r})"))
    done = subprocess.run(
        [sys.executable, "tour.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "baseline" in done.stdout
