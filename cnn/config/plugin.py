"""Plugins: a user's Python files that add entries to registries.

A plugin is Python, and runs with all rights of whoever loads it. So it is loaded where its path is
given and nowhere else: a run keeps name and SHA-256 in the field `plugins`, and never loads it.
"""

import argparse
import hashlib
from collections.abc import Iterable
from pathlib import Path

from cnn.config.errors import UserError
from cnn.config.python_file import find_file, import_file, user_errors

# Of the files that this process has loaded: path -> "name sha256:digest".
_loaded: dict[Path, str] = {}


def add_plugin_argument(parser: argparse.ArgumentParser) -> None:
    """Adds --plugin=FILE, which may be given several times."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="Python file that registers operators, networks, sources, ...; repeatable",
    )


def load_plugins(files: Iterable[str]) -> tuple[str, ...]:
    """Loads plugins that are not loaded yet; returns what the field `plugins` says of these.

    Raises:
      UserError: no such file, or one that cannot be run, with its line.
    """
    return tuple(_load(Path(find_file(file, "--plugin")).resolve()) for file in files)


def _load(path: Path) -> str:
    if path not in _loaded:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with user_errors(str(path)):
            import_file(str(path), f"plugin_{path.stem}_{digest[:8]}")
        _loaded[path] = f"{path.name} sha256:{digest}"
    return _loaded[path]


def check_plugins(plugins: Iterable[str], where: str) -> None:
    """Refuses a run with plugins that this process has not loaded.

    Args:
      plugins: what the run's field of that name says.
      where: the run, for messages.

    Raises:
      UserError: names the plugin and its SHA-256.
    """
    for needed in plugins:
        if needed in _loaded.values():
            continue
        name, _, digest = needed.partition(" ")
        others = [other for other in _loaded.values() if other.startswith(f"{name} ")]
        changed = f"; the one loaded has {others[0].partition(' ')[2]}" if others else ""
        raise UserError(
            f"--plugin: {where} was made with the plugin {name} ({digest}){changed}; pass it "
            f"as --plugin=PATH/{name} (it runs as Python code with your permissions)"
        )
