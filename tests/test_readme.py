"""The numbers of README and docs are those of the committed results, and what they name exists."""

import json
import re

import pytest

from benchmarks.tables import FIRST_RUN, PAGES, fill
from cnn.config.fields import leaves
from cnn.config.load import load
from cnn.config.record import differences, from_plain
from configs import base
from tests.conftest import REPOSITORY

TEXT = PAGES[0].read_text()
DOCUMENTS = [PAGES[0], *sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures_are_those_of_the_result_files(page):
    text = page.read_text()
    assert fill(text) == text
    assert "<!-- end " in text


def test_the_first_run_was_made_with_the_config_as_it_is():
    results = [json.loads(p.read_text()) for p in sorted(FIRST_RUN.glob("seed-*.json"))]
    assert len(results) >= 3
    for result in results:
        config = load("configs/fashion_mnist_10k.py", [f"seed={result['seed']}"]).config
        assert not differences(from_plain(result["config"]), config)
    assert sum(r["test"]["accuracy"] for r in results) / len(results) >= 0.88


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_every_file_and_field_that_a_page_names_exists(page):
    text, fields = page.read_text(), {name for name, _ in leaves(base.get_config())}
    for path in re.findall(r"(?<![\w/.])(?:configs|cnn|requirements|docs|tests)/[\w/.]*", text):
        assert (REPOSITORY / path.rstrip(".")).exists(), path
    for field in re.findall(r"`((?:data|model|train|optimizer|mesh|schedule)\.(?!py`)\w+)`", text):
        assert any(name == field or name.startswith(f"{field}.") for name in fields), field
    for field in re.findall(r"--config\.([\w.]+)=", text):
        assert field in fields | {"FIELD"}, field
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / link).exists(), link


def test_every_page_is_linked_from_the_readme():
    linked = set(re.findall(r"\]\(docs/(\w+\.md)\)", TEXT))
    assert linked == {page.name for page in (REPOSITORY / "docs").glob("*.md")}


def test_every_target_of_make_that_the_readme_names_exists():
    targets = re.findall(r"^make (\w+)", TEXT, re.MULTILINE)
    makefile = (REPOSITORY / "Makefile").read_text()
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
