"""Run folders listed, shown and compared, by the command and as rows."""

import csv
import io
import json
import subprocess
import sys

import pytest

from cnn.runs import find_runs, summarize_run
from cnn.runs.tables import difference_rows, list_rows, show_rows
from cnn.training.loop import train
from cnn.training.ownership import owned
from cnn.training.run_folder import RunFolder
from tests.conftest import REPOSITORY, tiny_config


class StoppedError(Exception):
    """Ends a run from outside."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    train(tiny_config(), str(folder / "a"), quiet=True)
    train(tiny_config("seed=1", "data.workers=2"), str(folder / "b"), quiet=True)
    steps = iter(range(100))

    def stop_at_seventh():
        if next(steps) == 6:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(
            tiny_config("model.features=4,8"), str(folder / "c"), quiet=True, alive=stop_at_seventh
        )
    return folder


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "cnn.runs", *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_list_tells_finished_runs_from_others(runs):
    rows = list_rows([summarize_run(path) for path in find_runs([runs])], ["model.features"])
    assert [row["state"] for row in rows] == [
        *("finished", "finished"),
        "interrupted at step 6 of 12",
    ]
    test = json.loads((runs / "a" / "result.json").read_text())["test"]
    assert rows[0]["test"] == f"{100 * test['accuracy']:.4g} %"
    assert rows[2]["test"] is None
    assert rows[2]["model.features"] == (4, 8)


def test_a_run_is_running_while_a_process_owns_it(runs):
    with owned(runs / "c"):
        assert summarize_run(runs / "c").state == "running at step 6 of 12"
    assert summarize_run(runs / "c").state == "interrupted at step 6 of 12"
    # The checkpoint of an interruption is later than the last metric.
    (runs / "c" / "checkpoints" / "9").mkdir(parents=True)
    try:
        assert summarize_run(runs / "c").step == 9
    finally:
        (runs / "c" / "checkpoints" / "9").rmdir()


@pytest.mark.parametrize(("diverged", "state"), [(True, "diverged"), (False, "failed")])
def test_a_run_that_failed_in_its_study_says_so(runs, diverged, state):
    failure = RunFolder(runs / "c").failure_file
    failure.write_text(json.dumps({"error": "why", "diverged": diverged}))
    try:
        assert summarize_run(runs / "c").state == f"{state} at step 6 of 12"
    finally:
        failure.unlink()


def test_unset_fields_show_what_the_network_used(runs):
    rows = list_rows([summarize_run(runs / "a")], ["model.downsample", "model.norm"])
    assert (rows[0]["model.downsample"], rows[0]["model.norm"]) == ("max", "batch")


def test_only_what_differs_is_compared(runs):
    rows = difference_rows([summarize_run(runs / name) for name in "ab"])
    names = [row[""] for row in rows]
    assert "seed" in names
    assert "data.workers*" in names  # which changes nothing that is computed
    assert not {"model.name", "jax", "state"} & set(names)


def test_one_run_shows_what_it_changed(runs):
    shown = {row[""]: row[str(runs / "c")] for row in show_rows(summarize_run(runs / "c"))}
    assert shown["model.features"] == (4, 8)
    assert "model.dropout" not in shown


def test_the_command_prints_tables_csv_and_json(runs):
    table = command("list", runs)
    assert table.returncode == 0, table.stderr
    assert "step 6 of 12" in table.stdout
    rows = list(csv.DictReader(io.StringIO(command("list", runs, "--format=csv").stdout)))
    assert [row["seed"] for row in rows] == ["0", "1", "0"]
    found = json.loads(command("diff", runs / "a", runs / "c", "--format=json").stdout)
    assert "model.features" in [row[""] for row in found]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "nowhere"), "there is no folder 'nowhere'"),
        (("list", "configs"), "no runs found in configs"),
        (("show", "configs"), "no config.json"),
        (("diff", "configs"), "no config.json"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    done = command(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
