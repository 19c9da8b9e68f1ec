"""Makes the atlas of downsampling from the studies in results/atlas.

    python benchmarks/atlas.py

It reads `results/atlas/ROW`, `ROW_others` and `ROW_matched`, where ROW is one of
`configs/ablations/atlas.py`, and writes `results/atlas/atlas.json`, `results/atlas/index.html`,
`docs/atlas.md` and the lines of README.md. A row that has run elsewhere is put there by
`python ablate.py compact --workdir=DIR --out=results/atlas/ROW`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.tables import fill
from cnn.ablation.atlas.pages import atlas_html, atlas_markdown
from cnn.ablation.atlas.rows import AtlasRow, RowPlan, not_run, read_row, read_rows, write_rows
from cnn.config.atomic import write_atomically
from configs.ablations.atlas import PARTS, ROWS, get_study

ROOT = Path(__file__).parents[1]
ATLAS = ROOT / "results" / "atlas"
NUMBERS = ATLAS / "atlas.json"
STUDY = "configs/ablations/atlas.py"
PAGE = ROOT / "docs" / "atlas.md"


def row_plans(folder: Path = ATLAS) -> list[RowPlan]:
    """Returns the rows that the study file describes."""
    return [_row_plan(row, title, folder) for row, (title, _, _) in ROWS.items()]


def _row_plan(row: str, title: str, folder: Path) -> RowPlan:
    studies, operators = {}, {}
    for part in ("", *PARTS):
        words = [word for word in (row, part) if word]
        name, argument = "_".join(words), ",".join(words)
        studies[folder / name] = (
            f"python ablate.py run --config={STUDY}:{argument} --workdir=results/atlas/{name}"
        )
        operators |= dict.fromkeys(get_study(argument).arms)
    return RowPlan(name=row, title=title, studies=studies, operators=tuple(operators))


def page(rows: list[AtlasRow]) -> str:
    """Returns docs/atlas.md."""
    return atlas_markdown(rows, "../results/atlas")


def rows_now() -> list[AtlasRow]:
    """Returns the numbers as they were written, or rows that have not run."""
    return read_rows(NUMBERS) or [not_run(plan) for plan in row_plans()]


def main() -> None:
    """Reads the studies and writes everything."""
    rows = [read_row(plan, ATLAS) for plan in row_plans()]
    write_rows(rows, NUMBERS)
    write_atomically(ATLAS / "index.html", atlas_html(rows))
    write_atomically(PAGE, page(rows))
    readme = ROOT / "README.md"
    write_atomically(readme, fill(readme.read_text()))


if __name__ == "__main__":
    main()
