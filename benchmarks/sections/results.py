"""Committed results of benchmarks, and the conditions that they were measured under."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"


def read(name: str) -> dict[str, Any]:
    """Returns a committed result file."""
    return json.loads((RESULTS / name).read_text())


def machine_text(made: dict[str, Any]) -> str:
    """Returns the machine, repeats, load and version of jax in one sentence."""
    repeats = f", medians of {made['repeats']} interleaved repeats" if "repeats" in made else ""
    return (
        f"{made['cores']} cores of an {made['cpu']}{repeats}, load "
        f"{made['load_at_start']} at the start, jax {made['versions']['jax']}."
    )


def conditions_text(made: dict[str, Any]) -> str:
    """Returns `machine_text` with the shapes, dtype, version of flax and date."""
    flags = f", `XLA_FLAGS={made['xla_flags']}`" if made.get("xla_flags") else ""
    what = f"images {made['shape']}" if "shape" in made else f"batch {made['batch']}"
    return (
        f"{made['cores']} cores of an {made['cpu']}, {what}, {made['dtype']}, medians of "
        f"{made['repeats']} interleaved repeats, load {made['load_at_start']} at the start, "
        f"jax {made['versions']['jax']}, flax {made['versions']['flax']}{flags}, {made['date']}."
    )
