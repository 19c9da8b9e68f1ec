"""A self-contained HTML page and its parts: sections, sortable tables, notes, figures.

The page loads nothing: style and script are inline, and fonts are those of the reader's system.
Every function returns markup and escapes the text that it is given.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from cnn.pages.template import macros, render

Child = str | int | float


@dataclass(frozen=True)
class Column:
    """Header of a table column.

    Attributes:
      label: of the column.
      numeric: whether it holds numbers, which are aligned to the right.
      hint: tooltip.
    """

    label: str
    numeric: bool = False
    hint: str | None = None


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
      content: text or markup.
      key: sort key; None: the text.
      small: below the content, in small print.
      tone: kind of verdict that colours the content.
    """

    content: Child
    key: float | str | None = None
    small: str = ""
    tone: str = ""

    @property
    def sort_key(self) -> float | str | None:
        """The key, as `portable` writes numbers."""
        return portable(self.key) if isinstance(self.key, float) else self.key

    @property
    def sortable(self) -> bool:
        """Whether it has a key that can be compared."""
        return self.key is not None and self.key == self.key


def portable(number: float) -> float:
    """Returns a number to six significant digits, so that files are the same on every processor.

    The last digits of a sum depend on how many numbers the processor adds at once.
    """
    return 0.0 if abs(number) < 1e-15 else float(f"{number:.6g}")


def sortable_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Markup:
    """A sortable table whose first column, the row name, is sticky."""
    return _parts().sortable_table(columns, rows)


def heat_table(
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    corner: str = "",
) -> Markup:
    """A table with cells (text, value in [0, 1]) shaded by value."""
    return _parts().heat_table(corner, columns, rows)


def heat_map(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> Markup:
    """A heat map of numbers with one decimal, scaled from minimum to maximum."""
    values = [v for _, row in rows for v in row if math.isfinite(v)]
    low, high = min(values), max(values)

    def cell(value: float) -> tuple[str, float]:
        return f"{value:.1f}", (value - low) / (high - low) if high > low else 0.5

    return heat_table(columns, [(name, [cell(v) for v in row]) for name, row in rows])


def section(title: str, *children: Child | None, note: str = "") -> Markup:
    """A section of the page: a heading, a note and its content."""
    return _parts().section(title, _given(children), note)


def callout(kind: str, title: str, text: str | Sequence[str]) -> Markup:
    """A highlighted note of one or several sentences.

    Args:
      kind: "doubt" (verdicts below may be wrong) or "remark".
      title: in bold.
      text: of the remark.
    """
    return _parts().callout(kind, title, text)


def definitions(pairs: Sequence[tuple[str, Child]]) -> Markup:
    """A description list."""
    return _parts().definitions(pairs)


def details(summary: str, *children: Child) -> Markup:
    """A collapsible part."""
    return _parts().details(summary, children)


def note(text: str) -> Markup:
    """A paragraph in small print."""
    return _parts().note(text)


def figure(title: str, *children: Child | None, aside: str = "") -> Markup:
    """A figure or table with an optional title and a value next to it."""
    return _parts().figure(title, _given(children), aside)


def pair(*children: Child) -> Markup:
    """Figures side by side, two per row where there is room."""
    return _parts().side_by_side(children, "pair")


def panels(*children: Child) -> Markup:
    """Small figures side by side, as many per row as fit."""
    return _parts().side_by_side(children, "panels")


def picture(path: Path, description: str, caption: str = "") -> Markup:
    """An embedded PNG; `description` is its alternative text."""
    data = base64.b64encode(path.read_bytes()).decode()
    return _parts().picture(data, description, caption)


def link(path: str, text: Child, title: str = "") -> Markup:
    """A link to a file or folder next to the page."""
    return _parts().link(path, text, title)


def page(title: str, kicker: str, *children: Child) -> str:
    """Returns the whole document; `kicker` is the line above the title."""
    return str(render("page.html", title=title, kicker=kicker, children=children))


def _given(children: Sequence[Child | None]) -> list[Child]:
    return [child for child in children if child is not None]


def _parts():
    return macros("parts.html")
