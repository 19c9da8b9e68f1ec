"""The README's figures are those of the committed results, and what it names exists."""

import json
import re

import pytest

from benchmarks.tables import FIRST_RUN, PAGES, fill
from cnn.config.fields import leaves
from cnn.config.load import load
from cnn.config.record import fingerprint
from configs import base
from tests.conftest import REPOSITORY

TEXT = PAGES[0].read_text()


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
        assert result["fingerprint"] == fingerprint(config)
    assert sum(r["test"]["accuracy"] for r in results) / len(results) >= 0.88


def test_every_file_and_field_that_it_names_exists():
    fields = {name for name, _ in leaves(base.get_config())}
    for path in re.findall(r"(?<![\w/.])(?:configs|cnn|requirements|docs|tests)/[\w/.]*", TEXT):
        assert (REPOSITORY / path.rstrip(".")).exists(), path
    for field in re.findall(r"`((?:data|model|train|optimizer|mesh|schedule)\.\w+)`", TEXT):
        assert field in fields, field
    for field in re.findall(r"--config\.([\w.]+)=", TEXT):
        assert field in fields | {"FIELD"}, field
    targets = re.findall(r"^make (\w+)", TEXT, re.MULTILINE)
    makefile = (REPOSITORY / "Makefile").read_text()
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
