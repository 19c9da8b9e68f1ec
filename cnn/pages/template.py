"""Renders the templates in `templates/`, which escape every value that is not markup.

A name from a config file cannot turn into a tag.
"""

import re
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render(name: str, **values: object) -> Markup:
    """Renders a template with some values."""
    return Markup(_environment().get_template(name).render(values))


def macros(name: str) -> object:
    """The macros of a template, as functions that return markup."""
    return _environment().get_template(name).module


def breakable(name: str) -> Markup:
    """A name that may be wrapped after a dot, an underscore, a slash or an equals sign."""
    return name if isinstance(name, Markup) else Markup("<wbr>").join(_parts(str(name)))


def _parts(name: str) -> list[str]:
    return re.split(r"(?<=[._/=])", name)


def address(path: str) -> str:
    """The URL of a file or folder relative to the page, which cannot lead to another site."""
    if path.startswith("/"):
        path = "/" + path.lstrip("/")
    elif not path.startswith("."):
        path = "./" + path
    return quote(path)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"breakable": breakable, "address": address}
    return environment
