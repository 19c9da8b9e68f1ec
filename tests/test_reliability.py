"""A short form of `make reliability`: kills at file operations, and files that may not grow."""

import json
import os
import random
import time

import pytest

from benchmarks import reliability
from benchmarks.faults.fault import Fault, Outcome


@pytest.fixture
def chance():
    seed = os.environ.get("CNN_TEST_SEED", time.time_ns())
    print("CNN_TEST_SEED", seed)
    return random.Random(seed)


def test_a_kill_before_any_file_operation_loses_nothing(tmp_path, chance):
    fault = reliability.kill_at_operations(tmp_path)
    assert fault.most > 40
    number = chance.randrange(fault.most)
    assert fault.attempt(tmp_path / str(number), chance, number).lost == ""


def test_files_that_may_not_grow_are_reported_and_the_same_command_goes_on(tmp_path, chance):
    fault = reliability.small_files(tmp_path)
    assert fault.attempt(tmp_path / "0", chance, 0).lost == ""


def test_a_try_is_written_down_and_the_same_command_makes_those_that_are_missing(
    tmp_path, monkeypatch, capsys
):
    def made(folder):
        return Fault(lambda workdir, chance, number: Outcome(1.0, "a byte" * (number == 1)), 3)

    def counted():
        [row] = json.loads(out.read_text())["faults"].values()
        return len(row["seconds"]), row["lost"], row["most"]

    monkeypatch.setattr(reliability, "FAULTS", {"a fault": made})
    out = tmp_path / "reliability.json"
    for times, tries in ((1, 1), (2, 2), (2, 2), (20, 3)):
        reliability.main([f"--times={times}", f"--out={out}"])
        assert counted() == (tries, ["a byte"] * (tries > 1), 3)
    assert capsys.readouterr().out.count("try 1: a byte") == 1
    result = json.loads(out.read_text())
    page = reliability.page(result)
    assert result["faults"]["a fault"]["commits"] == [result["conditions"]["commit"]]
    assert result["faults"]["a fault"]["cpus"] == [result["conditions"]["cpu"]]
    assert "| a fault (of 3) | 3 | 1 | 1.0 |" in page
    assert "- a fault: a byte\n" in page
