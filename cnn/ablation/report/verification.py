"""Checks that the reports of a study are reproduced from its runs, byte by byte."""

from pathlib import Path

from cnn.ablation.analysis.study_analysis import Analysis
from cnn.ablation.report import FORMATS
from cnn.config.errors import UserError


def verify_report(analysis: Analysis, folder: Path) -> list[Path]:
    """Recomputes every report and compares it; returns the files.

    Raises:
      UserError: a file is missing, or differs from what the outcomes of the runs give.
    """
    differing = []
    for name, render in FORMATS.items():
        file, expected = folder / name, render(analysis).encode()
        if not file.is_file():
            differing.append(f"{name} is missing")
        elif (found := file.read_bytes()) != expected:
            differing.append(f"{name} differs in line {_first_difference(found, expected)}")
    if differing:
        found = "; ".join(differing)
        raise UserError(f"--workdir: {folder}: differs from a recomputation from its runs: {found}")
    return [folder / name for name in FORMATS]


def _first_difference(found: bytes, expected: bytes) -> int:
    lines = zip(found.split(b"\n"), expected.split(b"\n"), strict=False)
    same = [one == other for one, other in lines]
    return same.index(False) + 1 if False in same else len(same) + 1
