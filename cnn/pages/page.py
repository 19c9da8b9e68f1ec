"""One self-contained HTML page and its parts: sections, tables that sort, remarks, pictures.

The page loads nothing: style and script are within, and the fonts are those of the reader's
system. Every function returns markup; text that it is given is escaped.
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
    """Heading of a table's column.

    Attributes:
      label: of the column.
      numeric: whether it holds numbers, which are aligned to the right.
      hint: shown on hovering.
    """

    label: str
    numeric: bool = False
    hint: str | None = None


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
      content: text or markup.
      key: what it is sorted by; without one it is sorted by its text.
      small: beneath the content, in small print.
      tone: kind of verdict that colours the content.
    """

    content: Child
    key: float | str | None = None
    small: str = ""
    tone: str = ""

    @property
    def sortable(self) -> bool:
        """Whether it has a key that can be compared."""
        return self.key is not None and self.key == self.key


def sortable_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Markup:
    """A table whose headings sort it; the first column names the row and stays when it scrolls."""
    return _parts().sortable_table(columns, rows)


def heat_table(
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    corner: str = "",
) -> Markup:
    """A table whose cells (text, share from 0 to 1) are the darker the larger the share."""
    return _parts().heat_table(corner, columns, rows)


def heat_map(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> Markup:
    """A heat table of numbers, from the least to the largest, with one digit after the point."""
    values = [v for _, row in rows for v in row if math.isfinite(v)]
    low, high = min(values), max(values)

    def cell(value: float) -> tuple[str, float]:
        return f"{value:.1f}", (value - low) / (high - low) if high > low else 0.5

    return heat_table(columns, [(name, [cell(v) for v in row]) for name, row in rows])


def section(title: str, *children: Child | None, note: str = "") -> Markup:
    """A part of the page under a heading, with an explanation beneath the heading."""
    return _parts().section(title, _given(children), note)


def callout(kind: str, title: str, text: str | Sequence[str]) -> Markup:
    """A remark set off from the text, in a sentence or a list of them.

    Args:
      kind: "doubt" (nothing below is safe) or "remark".
      title: in bold.
      text: of the remark.
    """
    return _parts().callout(kind, title, text)


def definitions(pairs: Sequence[tuple[str, Child]]) -> Markup:
    """A list of terms and what they are."""
    return _parts().definitions(pairs)


def details(summary: str, *children: Child) -> Markup:
    """A part that opens on request."""
    return _parts().details(summary, children)


def note(text: str) -> Markup:
    """A paragraph in small print."""
    return _parts().note(text)


def figure(title: str, *children: Child | None, aside: str = "") -> Markup:
    """A chart, a map or a table under its name, if it has one, with a value beside the name."""
    return _parts().figure(title, _given(children), aside)


def pair(*children: Child) -> Markup:
    """Figures side by side, two in a row where there is room."""
    return _parts().side_by_side(children, "pair")


def panels(*children: Child) -> Markup:
    """Small figures side by side, as many in a row as there is room for."""
    return _parts().side_by_side(children, "panels")


def picture(path: Path, description: str, caption: str = "") -> Markup:
    """A PNG that lies within the page; `description` is for readers who cannot see it."""
    data = base64.b64encode(path.read_bytes()).decode()
    return _parts().picture(data, description, caption)


def link(path: str, text: Child, title: str = "") -> Markup:
    """Links to a file or folder beside the page."""
    return _parts().link(path, text, title)


def page(title: str, kicker: str, *children: Child) -> str:
    """Returns the whole document; `kicker` says above the title what it is."""
    return str(render("page.html", title=title, kicker=kicker, children=children))


def _given(children: Sequence[Child | None]) -> list[Child]:
    return [child for child in children if child is not None]


def _parts():
    return macros("parts.html")
