"""What counts as flat."""

import pytest

from benchmarks.soak import flatness


def readings(mib, threads=40, files=8):
    """Returns forty readings, of which the first ten are of the start."""
    return [
        {"minutes": i, "mib": 100 if i < 10 else mib(i), "threads": threads, "files": files}
        for i in range(40)
    ]


@pytest.mark.parametrize(
    ("mib", "rise", "flat"),
    [
        (lambda i: 300, 0, True),
        (lambda i: 300 + i % 2, 0, True),
        (lambda i: 300 + 0.1 * i, 2.9, True),
        (lambda i: 300 + 0.3 * i, 8.7, False),
        (lambda i: 300 - i, -29, True),
    ],
)
def test_memory_is_flat_when_a_line_through_it_is(mib, rise, flat):
    found = flatness(readings(mib))
    assert found["rise_mib"] == pytest.approx(rise, abs=0.3)
    assert found["flat"] == flat


@pytest.mark.parametrize("name", ["threads", "files"])
def test_more_threads_or_files_are_not_flat(name):
    rows = readings(lambda i: 300)
    for i, row in enumerate(rows):
        row[name] += i // 5
    assert not flatness(rows)["flat"]


def test_the_leak_of_tensorstore_is_taken_off_for_the_time_that_counts():
    """39 MiB in 39 minutes are 29 in the last 29, which is the whole rise."""
    rows = readings(lambda i: 300 + i)
    found = flatness(rows, leaked=39)
    assert found["tensorstore_mib"] == pytest.approx(29, abs=0.01)
    assert found["flat"]
    assert not flatness(rows, leaked=20)["flat"]
