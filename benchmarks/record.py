"""Result files of benchmarks: measurements and their conditions."""

import datetime
import json
import os
from pathlib import Path
from typing import Any

from cnn.training.provenance import provenance


def conditions(**own: Any) -> dict[str, Any]:
    """Returns the conditions of a measurement: settings, date, load, versions."""
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


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Rounds floats to three significant digits."""
    return {k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in row.items()}
