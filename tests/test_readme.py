"""The numbers of README and docs are those of the committed results, and what they name exists."""

import json
import re

import pytest

from benchmarks.first_run import accuracy_band, check, committed
from benchmarks.tables import PAGES, fill
from cnn.config.errors import UserError
from cnn.config.fields import leaves
from cnn.config.load import load
from cnn.config.record import differences, from_plain
from cnn.training.run_folder import RunFolder
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
    results = committed()
    assert len(results) >= 3
    for result in results:
        config = load("configs/fashion_mnist_10k.py", [f"seed={result['seed']}"]).config
        assert not differences(from_plain(result["config"]), config)
    assert sum(r["test"]["accuracy"] for r in results) / len(results) >= 0.88


def test_the_committed_runs_of_airbench_reach_the_published_accuracy():
    """94.0 % in the mean: Jordan 2024, arXiv:2404.00498."""
    results = committed("airbench")
    assert len(results) >= 3
    for result in results:
        own = ("data.data_dir=../shared/tfds", "model.dtype=float32", "log.every=10 steps")
        config = load("configs/airbench.py", [*own, f"seed={result['seed']}"]).config
        assert not differences(from_plain(result["config"]), config)
        assert result["test"]["count"] == 10_000
    assert sum(r["test"]["accuracy"] for r in results) / len(results) >= 0.94


def test_a_first_run_is_checked_against_the_committed_seeds(tmp_path):
    low, high = accuracy_band()
    accuracies = [result["test"]["accuracy"] for result in committed()]
    mean, n = sum(accuracies) / len(accuracies), len(accuracies)
    deviation = (sum((a - mean) ** 2 for a in accuracies) / (n - 1)) ** 0.5
    assert n == 3  # t of 2 degrees of freedom, from a table
    assert (low + high) / 2 == pytest.approx(mean)
    assert (high - low) / 2 == pytest.approx(4.3027 * deviation * (1 + 1 / n) ** 0.5, rel=1e-4)
    for accuracy, fields, words in (
        (mean, {}, f"{mean:.4f} is within"),
        (high, {"seed": 7}, "is within"),
        (low - 0.001, {}, "is outside"),
        (high + 0.001, {}, "is outside"),
        (mean, {"train": {"duration": "1 epochs"}}, "train.duration"),
    ):
        result = committed()[0]
        result["test"]["accuracy"] = accuracy
        for name, value in fields.items():
            old = result["config"][name]
            result["config"][name] = old | value if isinstance(value, dict) else value
        (tmp_path / "result.json").write_text(json.dumps(result))
        try:
            sentence = check(RunFolder(tmp_path))
        except UserError as error:
            sentence = str(error)
        assert words in sentence
    with pytest.raises(UserError, match="is not finished"):
        check(RunFolder(tmp_path / "none"))


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_every_file_and_field_that_a_page_names_exists(page):
    text, fields = page.read_text(), {name for name, _ in leaves(base.get_config())}
    for path in re.findall(r"(?<![\w/.])(?:configs|cnn|requirements|docs|tests)/[\w/.]*", text):
        assert (REPOSITORY / path.rstrip(".")).exists(), path
    sections = "data|model|train|optimizer|mesh|schedule"
    for field in re.findall(rf"`((?:{sections})\.(?!py`|stablehlo`)\w+)`", text):
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
