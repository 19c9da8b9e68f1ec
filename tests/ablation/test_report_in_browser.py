"""The page in a real browser: no error, it fits a phone and a desk, and its tables sort."""

import json
import re

import numpy as np
import pytest

from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.analysis.study_results import Arm, SeedRun
from cnn.ablation.report import render_html
from tests.ablation.browser import Browser, installed
from tests.ablation.simulated import arm, study


@pytest.fixture(scope="module")
def browser():
    if not installed():
        pytest.skip("there is no chromium with chromedriver on this machine")
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    rng = np.random.default_rng(0)
    ease = rng.normal(2.5, 1.5, 1500)
    gains = {"max": 0, "blur": 0.6, "avg": -0.6, "<b>a very_long name=of.an/arm": 0.1}
    arms = [arm(rng, name, ease, gain, range(5), macs=10**7) for name, gain in gains.items()]
    arms.append(Arm("lp", seeds=(SeedRun(0, "runs/lp/0", status="crashed", error="no memory"),)))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_html(analyze(study(arms))))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_the_screen_without_an_error(browser, page_file, width, scheme):
    browser.open(page_file, width, scheme)
    assert browser.log() == []
    assert browser.run("return document.documentElement.scrollWidth") <= width
    paper = browser.run("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(v) for v in re.findall(r"\d+", paper)[:3]) / 3
    assert (brightness > 128) == (scheme == "light")
    empty = browser.run(
        "return [...document.querySelectorAll('.forest-chart')]"
        ".filter(c => c.getBoundingClientRect().width < 100).length"
    )
    assert empty == 0


SORTED = """
const table = document.querySelector("table.sortable");
const at = [...table.tHead.rows[0].cells].findIndex(c => c.textContent === %s);
table.tHead.rows[0].cells[at].querySelector("button").click();
return [[...table.tBodies[0].rows].map(r => r.cells[at].dataset.key ?? null),
        table.tHead.rows[0].cells[at].getAttribute("aria-sort")];
"""


def test_a_click_sorts_the_table_and_another_turns_it(browser, page_file):
    browser.open(page_file, 1280)
    for column in ("Difference", "Adjusted p", "Accuracy"):
        down, order = browser.run(SORTED % json.dumps(column))
        known = [float(key) for key in down if key is not None]
        assert order == "descending"
        assert known == sorted(known, reverse=True)
        assert down[len(known) :] == [None] * (len(down) - len(known))
        up, order = browser.run(SORTED % json.dumps(column))
        assert order == "ascending"
        assert up == [str(key) for key in down[: len(known)][::-1]] + down[len(known) :]
    names, order = browser.run(SORTED % json.dumps("Arm"))
    assert order == "ascending"
    assert names == ["<b>a very_long name=of.an/arm", "avg", "blur", "lp", "max"]
    assert browser.log() == []
