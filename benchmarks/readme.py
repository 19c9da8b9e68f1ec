"""Writes the figures of the README from committed result files: python benchmarks/readme.py."""

import json
import statistics
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FIRST_RUN = ROOT / "results" / "first_run"


def first_run() -> str:
    """Returns what `make train` reached: one sentence over the seeds' result files."""
    results = [json.loads(p.read_text()) for p in sorted(FIRST_RUN.glob("seed-*.json"))]
    accuracies = [r["test"]["accuracy"] for r in results]
    seconds = sorted(r["seconds"] for r in results)
    versions, one = results[0]["versions"], results[0]
    listed = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
    return (
        f"Test accuracy {statistics.mean(accuracies):.4f} as the mean of {len(results)} seeds "
        f"({listed}).\n"
        f"On {one['cores']} cores of an {one['cpu']} a run took {seconds[0]:.0f} seconds, up "
        f"to {seconds[-1]:.0f} while others shared\n"
        f"them (jax {versions['jax']}, Python {versions['python']}; "
        "[results/first_run](results/first_run))."
    )


SECTIONS = {"first run": first_run}


def fill(text: str) -> str:
    """Replaces what stands between the markers of every section."""
    for name, render in SECTIONS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}{render()}\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    README.write_text(fill(README.read_text()))
