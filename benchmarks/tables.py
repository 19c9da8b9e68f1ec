"""Fills the tables of README.md and docs from committed result files.

python benchmarks/tables.py
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.beside import beside
from benchmarks.sections import rates, runs, speed
from benchmarks.signal_tables import (
    held_out_speakers,
    moving_fashion,
    spoken_digits,
    streams,
    study,
)
from cnn.weights.table import markdown as weights_table

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    *(
        ROOT / "docs" / name
        for name in (
            "evaluation.md",
            "speed.md",
            "sound.md",
            "video.md",
            "weights.md",
            "statistics.md",
            "beside.md",
        )
    ),
)
SECTIONS: dict[str, Callable[[], str]] = {
    "atlas": runs.atlas,
    "error rates": rates.error_rates,
    "null": rates.null_rates,
    "power": rates.simulated_power,
    "deciding": rates.simulated_deciding,
    "coverage": rates.simulated_coverage,
    "weights": weights_table,
    "beside": beside,
    "first run": runs.first_run,
    "airbench": runs.airbench,
    "verdicts": runs.verdicts,
    "shift": runs.shift,
    "spoken digits": spoken_digits,
    "held-out speakers": held_out_speakers,
    "moving fashion": moving_fashion,
    "spectrogram pooling": partial(study, "spectrogram_pooling"),
    "temporal pooling": partial(study, "temporal_pooling"),
    "streams": streams,
    "speed": speed.speed,
    "training": speed.training,
    "replicas": speed.replicas,
    "operators": speed.operators,
    "forms": speed.forms,
    "planning": speed.planning,
    "memory": speed.memory,
    "loop": speed.loop,
    "reading": speed.reading,
    "pipelines": speed.pipelines,
    "bound": speed.bound,
    "start-up": speed.startup,
    "compiling": speed.compiling,
    "growth": speed.growth,
}


def fill(text: str) -> str:
    """Replaces the text between the markers of every section of a page."""
    for name, render in SECTIONS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        if begin in text:
            before, rest = text.split(begin)
            text = f"{before}{begin}{render()}\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(fill(page.read_text()))
