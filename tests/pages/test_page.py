"""The parts of a page: every value escaped, addresses that are paths, tables that can be sorted."""

import pytest
from markupsafe import Markup

from cnn.pages import page
from cnn.pages.charts import mark
from cnn.pages.page import Cell, Column
from cnn.pages.template import address, breakable

EVIL = "<script>\"'&</script>"
SAFE = "&lt;script&gt;&#34;&#39;&amp;&lt;/script&gt;"
PARTS = [
    page.section(EVIL, EVIL, note=EVIL),
    page.callout("remark", EVIL, EVIL),
    page.callout("remark", EVIL, [EVIL]),
    page.definitions([(EVIL, EVIL)]),
    page.details(EVIL, EVIL),
    page.note(EVIL),
    page.figure("name", EVIL, aside=EVIL),
    page.link("folder", EVIL, EVIL),
    page.sortable_table([Column(EVIL, hint=EVIL)] * 2, [[Cell(1), Cell(EVIL, EVIL, EVIL)]]),
    page.heat_table([EVIL], [("name", [(EVIL, 0.5)])], EVIL),
    mark("disc", 1, 1, "tone0", EVIL),
    page.page(EVIL, EVIL, EVIL),
]


@pytest.mark.parametrize("part", PARTS)
def test_text_cannot_become_markup(part):
    assert EVIL not in part
    assert SAFE in part
    # What is markup already stays so, within any other part.
    assert "<b>kept</b>" in page.section("title", Markup("<b>kept</b>"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("max/seed-0", "./max/seed-0"),
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ("//evil.example/x", "/evil.example/x"),
        ("../other run/é", "../other%20run/%C3%A9"),
    ],
)
def test_an_address_is_a_path_beside_the_page(path, expected):
    assert address(path) == expected


def test_names_break_after_their_separators():
    assert breakable("a.b_c/d=<e>") == "a.<wbr>b_<wbr>c/<wbr>d=<wbr>&lt;e&gt;"


def test_cells_are_sorted_by_numbers_that_can_be_compared():
    cells = [Cell("one", 1.5), Cell("not", float("nan")), Cell("none")]
    table = page.sortable_table([Column("name"), Column("n", numeric=True)], [cells[:2]])
    assert 'data-key="1.5"' in table
    assert "nan" not in table
    assert table.count('class="number"') == 2
    assert not cells[2].sortable


def test_a_heat_map_runs_from_the_least_to_the_largest_value():
    drawn = page.heat_map(["a", "b", "c"], [("row", [1.0, 2.0, 5.0])])
    assert [f"--p:{share}" in drawn for share in ("0.00", "0.25", "1.00")] == [True] * 3
