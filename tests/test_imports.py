"""A module imports only from the packages before its own: one direction, from config to verdict."""

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
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
    "ablation.statistics",
    "ablation.planning",
    "ablation.analysis",
    "ablation.execution",
    "ablation.report",
    "ablation.claims",
    "ablation.atlas",
    "ablation.start",
    "commands",
)
MODULES = sorted((REPOSITORY / "cnn").rglob("*.py"))


def dotted(file: Path) -> str:
    """Returns the name of a module within cnn, of a package for its `__init__.py`; cnn is ""."""
    parts = file.relative_to(REPOSITORY / "cnn").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


NAMES = {dotted(file): file for file in MODULES}
PACKAGES = [name for name, file in NAMES.items() if file.name == "__init__.py"]


@cache
def imported(name: str) -> set[str]:
    """Returns the modules of cnn that one imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(NAMES[name].read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{NAMES[name]}: write imports in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {module_of(n.removeprefix("cnn.")) for n in names if n.startswith("cnn.")}
    return found


def module_of(name: str) -> str:
    """Returns the module that a name is, or is in."""
    while name not in NAMES:
        name = name.rpartition(".")[0]
    return name


def within(module: str, package: str) -> str | None:
    """Returns the file or sub-package of a package that a module belongs to; None: it is outside.

    The package's own `__init__.py` is "".
    """
    if module != package and package and not module.startswith(f"{package}."):
        return None
    return module.removeprefix(package).lstrip(".").partition(".")[0]


def place(module: str) -> int:
    """Returns how many entries of the order come before that of a module; the library is last."""
    while module and module not in ORDER:
        module = module.rpartition(".")[0]
    return ORDER.index(module) if module else len(ORDER)


def test_every_package_has_its_place():
    assert {within(name, "") for name in PACKAGES} - {""} <= set(ORDER)
    rooms = {f"ablation.{within(n, 'ablation')}" for n in PACKAGES if within(n, "ablation")}
    assert rooms <= set(ORDER)


@pytest.mark.parametrize("name", NAMES)
def test_imports_go_one_way(name):
    assert not {other for other in imported(name) if place(other) > place(name)}


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_has_a_circle(package):
    graph = {}
    for name in NAMES:
        one = within(name, package)
        if one is not None:
            others = {within(other, package) for other in imported(name)}
            graph.setdefault(one, set()).update(others - {None, one})
    assert circle_in(graph) == []


def test_a_circle_is_found():
    assert set(circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}


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
