"""The reports of all committed studies are what their runs give, byte by byte."""

import os
import platform
import subprocess
import sys

import pytest

from cnn.ablation import start
from tests.conftest import REPOSITORY

STUDIES = sorted(
    str(f.parent.relative_to(REPOSITORY)) for f in REPOSITORY.glob("results/**/study.json")
)

# Compact copies, the second with clusters of examples.
COVERING = {"results/atlas/fashion", "results/spectrogram_pooling"}


@pytest.mark.parametrize(
    "workdir",
    [pytest.param(s, marks=() if s in COVERING else pytest.mark.exhaustive) for s in STUDIES],
)
def test_a_committed_study_is_verified(workdir, monkeypatch, capsys):
    monkeypatch.chdir(REPOSITORY)
    start.verify(workdir)
    output = capsys.readouterr().out
    assert output.startswith("verified: report.html, report.md, report.csv, report.tex")
    assert "per-example outcomes" in output


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the variables name x86-64's extensions")
def test_a_committed_study_is_verified_on_an_older_processor():
    older = {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4", "OPENBLAS_CORETYPE": "NEHALEM"}
    command = [sys.executable, "ablate.py", "verify", "--workdir=results/pooling"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | older, capture_output=True, text=True
    )
    assert done.stdout.startswith("verified: "), done.stderr


def test_there_are_committed_studies():
    assert set(STUDIES) >= COVERING
