"""A module imports only from the packages before its own: one direction, from config to verdict."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ORDER = (
    "config",
    "ops",
    "layers",
    "models",
    "data",
    "foreign",
    "training",
    "weights",
    "cost",
    "pages",
    "runs",
    "evaluation",
    "export",
    "ablation",
    "commands",
)
MODULES = sorted((REPOSITORY / "cnn").rglob("*.py"))


def imported_packages(file: Path) -> set[str]:
    """Returns the packages of cnn that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: write imports in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("cnn.")}
    return found & set(ORDER)


def test_every_package_has_its_place():
    packages = {p.name for p in (REPOSITORY / "cnn").iterdir() if p.is_dir()} - {"__pycache__"}
    assert packages <= set(ORDER)


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(REPOSITORY)))
def test_imports_go_one_way(file):
    parts = file.relative_to(REPOSITORY / "cnn").parts
    place = ORDER.index(parts[0]) if len(parts) > 1 else len(ORDER)
    later = {name for name in imported_packages(file) if ORDER.index(name) > place}
    assert not later


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(REPOSITORY)))
def test_no_module_is_named_for_nothing(file):
    assert not {"utils", "helpers", "misc", "common"} & set(file.with_suffix("").parts)


def test_operators_know_nothing_of_flax():
    files = (REPOSITORY / "cnn" / "ops").rglob("*.py")
    assert not [f for f in files if re.search("(import|from) flax", f.read_text())]


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(REPOSITORY)))
def test_the_package_needs_nothing_beside_it(file):
    assert not re.search(r"^\s*(from|import) (configs|tests|benchmarks)\b", file.read_text(), re.M)


def test_layers_take_plain_values():
    files = [f for f in MODULES if "layers" in f.parts or "ops" in f.parts]
    assert not [f for f in files if "ml_collections" in f.read_text()]
