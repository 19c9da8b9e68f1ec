"""Result files of benchmarks: the figures, and what they were made with."""

import datetime
import json
import os
from pathlib import Path
from typing import Any

from cnn.training.provenance import provenance


def conditions(**own: Any) -> dict[str, Any]:
    """Returns what figures were made with: settings of the benchmark, date, load, versions."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "dtype": "float32",
        "load_at_start": round(os.getloadavg()[0], 1),
        **own,
        **provenance(),
    }


def write(out: str, result: dict[str, Any]) -> None:
    """Writes a result file, if there is a name for it."""
    if out:
        Path(out).write_text(json.dumps(result, indent=1) + "\n")


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Returns figures with three digits; whole numbers stay."""
    return {k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in figures.items()}
