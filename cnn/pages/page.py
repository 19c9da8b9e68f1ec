"""One self-contained HTML page: safe markup, its looks, and tables that sort.

Text becomes markup only through `element`, which escapes everything that is not `Html` already, so
a name from a config file cannot turn into a tag. The page loads nothing: style and script are
within, and the fonts are those of the reader's system.
"""

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote


class Html(str):
    """Markup that is safe to put into a page as it is."""

    __slots__ = ()


Child = str | int | float | None
VOID = {"br", "hr", "col", "img", "meta"}


def escaped(child: Child) -> Html:
    """Returns markup as it is, anything else escaped, and None as nothing."""
    if isinstance(child, Html):
        return child
    return Html("" if child is None else html.escape(str(child), quote=True))


def join(children: Sequence[Child], separator: str = "") -> Html:
    """Joins children, each escaped unless it is markup."""
    return Html(separator.join(escaped(child) for child in children))


def element(name: str, *children: Child, **attributes: str | float | bool | None) -> Html:
    """Returns `<name ...>children</name>`.

    Attribute names lose a trailing underscore (`class_`) and turn other underscores into hyphens
    (`aria_label`). None and False leave an attribute out, True gives it no value.
    """
    parts = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{html.escape(str(value), quote=True)}"')
    opening = f"<{' '.join(parts)}>"
    return Html(opening if name in VOID else f"{opening}{join(children)}</{name}>")


def breakable(name: str) -> Html:
    """A name that may break into lines after a dot, an underscore, a slash or an equals sign."""
    return join(re.split(r"(?<=[._/=])", name), Html("<wbr>"))


def link(path: str, *children: Child, **attributes: str | None) -> Html:
    """Links to a file or folder beside the page; a path can be nothing else than a path."""
    if path.startswith("/"):
        path = "/" + path.lstrip("/")
    elif not path.startswith("."):
        path = "./" + path
    return element("a", *children, href=quote(path), **attributes)


@dataclass(frozen=True)
class Column:
    """Head of a table's column: its label, whether it holds figures, and what hovering explains."""

    label: str
    figures: bool = False
    hint: str | None = None


@dataclass(frozen=True)
class Cell:
    """What a cell shows and what it is sorted by; without a key it is sorted by its text."""

    content: Child
    key: float | str | None = None


def sortable_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Html:
    """A table whose heads sort it; the first column names the row and stays when it scrolls."""
    heads = [
        element(
            "th",
            element("button", column.label, type="button"),
            scope="col",
            class_="figure" if column.figures else None,
            title=column.hint,
            data_kind="figure" if column.figures else "text",
        )
        for column in columns
    ]
    body = [element("tr", *_cells(columns, row)) for row in rows]
    table = element(
        "table",
        element("thead", element("tr", *heads)),
        element("tbody", *body),
        class_="sortable",
    )
    return element("div", table, class_="scroll", tabindex="0")


def _cells(columns: Sequence[Column], row: Sequence[Cell]) -> list[Html]:
    cells = []
    for i, (column, cell) in enumerate(zip(columns, row, strict=True)):
        key = cell.key if cell.key is None or cell.key == cell.key else None
        attributes = {"class_": "figure" if column.figures else None, "data_key": key}
        kind = {"name": "th", "scope": "row"} if i == 0 else {"name": "td"}
        cells.append(element(kind.pop("name"), cell.content, **kind, **attributes))
    return cells


def section(title: str, *children: Child, note: Child = None) -> Html:
    """A part of the page under a heading, with an explanation beneath the heading."""
    explanation = element("p", note, class_="note") if note else None
    return element("section", element("h2", title), explanation, *children)


def callout(kind: str, title: str, *children: Child) -> Html:
    """A remark set off from the text; kind: "doubt" (nothing below is safe) or "remark"."""
    role = "alert" if kind == "doubt" else "note"
    return element("aside", element("strong", title), " ", *children, class_=kind, role=role)


def definitions(pairs: Sequence[tuple[str, Child]]) -> Html:
    """A list of terms and what they are."""
    rows = [element("div", element("dt", term), element("dd", meaning)) for term, meaning in pairs]
    return element("dl", *rows)


def picture(path: Path, description: str, caption: Child = None, **attributes: str) -> Html:
    """A PNG that lies within the page; `description` is for readers who cannot see it."""
    data = base64.b64encode(path.read_bytes()).decode()
    image = element("img", src=f"data:image/png;base64,{data}", alt=description, **attributes)
    return element("figure", image, element("figcaption", caption) if caption else None)


def details(summary: str, *children: Child) -> Html:
    """A part that opens on request."""
    return element("details", element("summary", summary), *children)


def page(title: str, kicker: str, *children: Child) -> str:
    """Returns the whole document."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("title", title),
        element("style", palette(), Html(_asset("page.css"))),
    )
    header = element("header", element("p", kicker, class_="kicker"), element("h1", title))
    body = element("body", element("main", header, *children), _script())
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def palette() -> Html:
    """The colours of page and figures, light and dark, as CSS variables."""
    return Html(_asset("palette.css"))


def _script() -> Html:
    return element("script", Html(_asset("page.js")))


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
