"""A short form of `make reliability`: kills at file operations, and files that may not grow."""

import os
import random
import time

import pytest

from benchmarks import reliability


@pytest.fixture
def chance():
    seed = os.environ.get("CNN_TEST_SEED", time.time_ns())
    print("CNN_TEST_SEED", seed)
    return random.Random(seed)


def test_a_kill_before_any_file_operation_loses_nothing(tmp_path, chance):
    row = reliability.kill_at_operations(tmp_path, 3, chance)
    assert row["lost"] == []
    assert row["tried"] == 3
    assert row["operations"] > 40


def test_files_that_may_not_grow_are_told_and_the_same_command_goes_on(tmp_path, chance):
    row = reliability.small_files(tmp_path, 2, chance)
    assert row["lost"] == []
    assert row["tried"] == 2
