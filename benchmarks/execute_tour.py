"""Executes docs/tour.ipynb in place, and stamps each cell with the sources behind its outputs.

python benchmarks/execute_tour.py   (needs the extra dev: nbclient and ipykernel)
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tour.ipynb"


def stamps(cells: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yields the SHA-256 of the sources of the code cells up to each one."""
    digest = hashlib.sha256()
    for cell in cells:
        if cell["cell_type"] == "code":
            digest.update("".join(cell["source"]).encode() + b"\0")
            yield digest.copy().hexdigest()


def main() -> None:
    """Executes the notebook from its folder; it is written only if every cell ran."""
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": NOTEBOOK.parent}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell, stamp in zip(code, stamps(notebook.cells), strict=True):
        cell.metadata = {"executed_sources": stamp}
    text = nbformat.writes(notebook)
    NOTEBOOK.write_text(json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
