"""Suites from the command line on: results, partial results, pictures and the page."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cnn.commands.eval import main as main_of_eval
from cnn.config.errors import UserError
from cnn.config.metric import METRICS, Metric, share
from cnn.evaluation import suites
from cnn.evaluation.__main__ import main
from cnn.evaluation.results import ResultFile, read_record, result_files
from cnn.evaluation.start import EvaluationRequest, start
from cnn.evaluation.suite import Asked, Suite
from cnn.pages import page
from cnn.training.loop import train
from cnn.training.run_folder import RunFolder
from tests.conftest import tiny_config


def request(*workdirs, suite="accuracy", **fields):
    defaults = dict(checkpoint=None, step=None, split="test", out=None, page=None, overrides=())
    return EvaluationRequest(tuple(map(str, workdirs)), suite=suite, **(defaults | fields))


def result(workdir, suite):
    """Returns the record of a suite that was measured once."""
    [file] = (workdir / "evaluation" / suite).glob("*.json")
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "one"
    train(tiny_config("train.duration=3 steps"), str(workdir))
    return workdir


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "one")


def draw(run, split, progress, *, size=1):
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(progress.picture("black.png"))
    progress.show(1, 1)
    return {"step": run.step, "size": size}


def show(runs):
    drawn = [
        page.picture(run.folder / "black.png", f"{run.results['size']} black of {run.name}")
        for run in runs
    ]
    return page.section("Drawn", *drawn)


@pytest.fixture
def drawing(monkeypatch):
    monkeypatch.setitem(suites.SUITES._entries, "drawing", Suite("a square", draw, show))


def stop(run, split, progress, *, size=1):
    progress.keep({"count": 3})
    raise KeyboardInterrupt


def test_accuracy_alone_prints_and_writes_training_s_own_figures(run, capsys):
    start(request(run))
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    final = json.loads((run / "result.json").read_text())["test"]
    assert {name: line[name] for name in final} == final
    record = result(run, "accuracy")
    assert record["results"] == final
    assert (record["step"], record["split"], record["complete"]) == (3, "test", True)
    stored = json.loads((run / "config.json").read_text())
    assert record["fingerprint"] == stored["fingerprint"]
    assert not list(run.rglob("*.partial"))


def test_several_runs_side_by_side_on_one_page_that_loads_nothing(run, tmp_path, drawing, capsys):
    other, file = shutil.copytree(run, tmp_path / "two"), tmp_path / "page.html"
    start(request(run, other, suite="accuracy,drawing", page=str(file)))
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["page"] == str(file)
    assert line["runs"][str(other)]["files"].keys() == {"accuracy", "drawing"}
    text = file.read_text()
    assert text.count("data:image/png;base64,") == 2
    assert "black of one" in text
    assert "black of two" in text
    assert "http" not in text
    assert not (run / "evaluation" / "eval.html").exists()


def test_the_metrics_of_a_suite_are_printed_in_their_units(run, monkeypatch, capsys):
    def measure(run, split, progress):
        return {"moved": {"share": 0.875}, "seconds": 0.0125, "missing": None}

    metrics = (
        share("moved, share", "Share [moved]", "share", "about"),
        Metric("seconds", "Latency", "latency", "ms", False, "about", 1000.0),
        Metric("missing", "Missing", "missing"),
    )
    suite = Suite("motion", measure, lambda runs: page.section("Moved"), metrics=metrics)
    monkeypatch.setitem(suites.SUITES._entries, "moved", suite)
    start(request(run, suite="moved"))
    *table, line = capsys.readouterr().out.splitlines()
    printed = "\n".join(table)
    assert "moved, test split, step 3" in printed
    assert re.search(r"Share \[moved\] \S +87.5 %", printed)
    assert re.search(r"Latency +\S +12.5 ms", printed)
    assert "Missing" not in printed
    assert json.loads(line)["split"] == "test"


def test_the_page_keeps_what_was_measured_before_at_the_same_step_and_split(run, drawing):
    start(request(run, suite="drawing"))
    start(request(run))
    text = (run / "evaluation" / "eval.html").read_text()
    assert "Drawn" in text
    assert "Accuracy" in text
    start(request(run, split="validation"))
    assert "Drawn" not in (run / "evaluation" / "eval.html").read_text()


def test_results_of_other_splits_steps_options_and_data_stay(run, drawing):
    def accuracy():
        return read_record(ResultFile.of(RunFolder(run), Asked("accuracy"), 3, "test").path)

    start(request(run))
    before = accuracy()
    start(request(run, split="validation"))
    start(request(run, split="train"))
    start(request(run, overrides=("data.test_split=train", "data.mean=0.5,0.5,0.5")))
    assert accuracy() == before
    folder = RunFolder(run)
    assert len(result_files(folder, 3, "test")) == 2
    assert len(result_files(folder, 3, "validation")) == 1
    start(request(run, suite="drawing(size=2)"))
    start(request(run, suite="drawing(size=3)"))
    start(request(run, suite="drawing"))
    found = {
        size: ResultFile.of(folder, Asked("drawing", {"size": size}), 3, "test").read()
        for size in (1, 2, 3, 4)
    }
    assert found == {s: {"step": 3, "size": s} for s in (1, 2, 3)} | {4: None}


def test_an_interruption_does_not_replace_what_was_complete(run, drawing, monkeypatch):
    start(request(run, suite="drawing"))
    before = result(run, "drawing")
    stopping = replace(suites.SUITES["drawing"], measure=stop)
    monkeypatch.setitem(suites.SUITES._entries, "drawing", stopping)
    with pytest.raises(KeyboardInterrupt):
        start(request(run, suite="drawing"))
    assert result(run, "drawing") == before


OTHER = {"suite": "drawing", "step": 12, "split": "test", "fingerprint": "", "complete": True}
OTHER |= {"options": {}, "changes": {}, "results": {}}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"suite": "drawing"}', json.dumps(OTHER)])
def test_a_damaged_result_is_reported_and_left_out(run, drawing, text, capsys):
    start(request(run, suite="drawing"))
    [file] = (run / "evaluation" / "drawing").glob("*.json")
    file.write_text(text)
    start(request(run))
    output = " ".join(capsys.readouterr().err.split())
    assert f"left out of the page: {file}" in output
    assert "Drawn" not in (run / "evaluation" / "eval.html").read_text()
    start(request(run, suite="drawing"))
    assert result(run, "drawing")["complete"]


def test_numbers_that_are_not_finite_are_never_written(run, drawing, monkeypatch):
    diverged = replace(suites.SUITES["drawing"], measure=lambda *_, size=1: {"loss": float("nan")})
    monkeypatch.setitem(suites.SUITES._entries, "drawing", diverged)
    with pytest.raises(UserError, match=r"not finite, so the network has diverged"):
        start(request(run, suite="drawing"))
    assert not (run / "evaluation" / "drawing").exists()


PLUGIN = """
from cnn.config.metric import Metric
from cnn.evaluation.suite import Suite
from cnn.evaluation.suites import add_suite
from cnn.pages import page


def measure(run, split, progress, *, times: int = 2):
    return {"doubled": times * run.step}


add_suite(
    "doubling",
    Suite(
        about="the step, several times",
        measure=measure,
        section=lambda runs: page.section("Doubling", page.note(str(runs[0].results["doubled"]))),
        metrics=(Metric("doubled", "Doubled step", "doubled", "steps", None, "from a plugin"),),
    ),
)
"""


def test_a_plugin_adds_a_suite_with_options_and_metrics(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suites.SUITES, "_entries", dict(suites.SUITES._entries))
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    file = tmp_path / "my_suite.py"
    file.write_text(PLUGIN)
    main_of_eval([f"--plugin={file}", f"--workdir={run}", "--suite=doubling(times=3)"])
    assert result(run, "doubling")["results"] == {"doubled": 9}
    assert "Doubling" in (run / "evaluation" / "eval.html").read_text()
    assert METRICS["doubled"].unit == "steps"
    with pytest.raises(UserError, match="times"):
        main_of_eval([f"--plugin={file}", f"--workdir={run}", "--suite=doubling(times=0)"])


def test_runs_are_called_what_the_user_calls_them(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "two")
    start(request(run, other, names=("max", "max blur")))
    text = (run / "evaluation" / "eval.html").read_text()
    assert "max blur" in text
    assert ">two<" not in text
    for names in (("a",), ("a", "a"), ("a", "b", "c")):
        with pytest.raises(UserError, match="--name"):
            start(request(run, other, names=names))


def test_data_that_has_moved_says_what_mends_it(tmp_path):
    """A run on a folder of arrays that is gone when it is evaluated."""
    arrays, workdir = tmp_path / "arrays.npz", tmp_path / "run"
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (24, 8, 8, 3), np.uint8), np.arange(24) % 3
    np.savez(arrays, train_image=images, train_label=labels, test_image=images, test_label=labels)
    config = tiny_config(
        "data.source=npz", f"data.path={arrays}", "data.validation=0%", "train.duration=1 steps"
    )
    train(config, str(workdir))
    moved = arrays.rename(tmp_path / "moved.npz")
    with pytest.raises(UserError, match=r"has moved.*--config\.data\.path="):
        start(request(workdir))
    start(request(workdir, overrides=(f"data.path={moved}",)))


def test_an_interruption_keeps_what_was_done(run, drawing, monkeypatch):
    monkeypatch.setitem(suites.SUITES._entries, "stopped", Suite("stops", stop, show))
    with pytest.raises(KeyboardInterrupt):
        start(request(run, suite="drawing,stopped"))
    assert result(run, "drawing")["complete"]
    assert result(run, "stopped")["results"] == {"count": 3}
    assert not result(run, "stopped")["complete"]
    assert "Drawn" in (run / "evaluation" / "eval.html").read_text()


def test_all_leaves_out_what_does_not_fit_and_says_so(run, drawing, monkeypatch, capsys):
    def refuse(run, split, progress):
        raise UserError("images: too small; use larger ones")

    entries = {"misfit": Suite("", refuse, show), "drawing": suites.SUITES["drawing"]}
    monkeypatch.setattr(suites.SUITES, "_entries", entries)
    start(request(run, suite="all"))
    assert "misfit is skipped: images: too small" in capsys.readouterr().out
    assert result(run, "drawing")["complete"]
    with pytest.raises(UserError, match="too small"):
        start(request(run, suite="misfit"))


def test_a_list_of_suites_with_options():
    asked = {a.name: a.options for a in suites.chosen("all, shift(images=5, parts=2)")}
    assert list(asked) == [name for name, suite in suites.SUITES.items() if not suite.needs]
    assert asked["shift"] == {"images": 5, "parts": 2}
    assert [a.name for a in suites.chosen("shift,accuracy,shift")] == ["shift", "accuracy"]


def test_the_list_for_people_names_every_suite_and_option(capsys):
    main([])
    shown = " ".join(capsys.readouterr().out.split())
    for name, suite in suites.SUITES.items():
        assert name in shown
        assert all(f"{option}=" in shown for option in suite.defaults())


def test_the_page_of_suites_is_what_the_entries_say(repository, capsys):
    main(["--markdown"])
    assert capsys.readouterr().out == (repository / "docs" / "suites.md").read_text()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"suite": "acuracy"}, ["--suite", "did you mean 'accuracy'"]),
        ({"suite": "shift(image=5)"}, ["--suite", "did you mean 'images'"]),
        ({"suite": "all,shift(images=-5)"}, ["--suite", "images of 'shift'", "[0, "]),
        ({"suite": "accuracy(images=5)"}, ["'accuracy' has no option 'images'; it has none"]),
        ({"suite": "shift(5)"}, ["--suite", "keyword arguments"]),
        ({"suite": ","}, ["--suite", "all, accuracy"]),
        ({"overrides": ["data.workers=0"]}, ["data.workers: 0", "allowed: [1, 1024]"]),
        ({"page": "/proc/none/eval.html"}, ["--page", "another file"]),
        (
            {"page": "/proc/a/b", "out": "/proc/a/./b"},
            ["--out: /proc/a/./b is the file of the page"],
        ),
        ({"step": "9" * 5000}, ["--step: no checkpoint '999", "allowed: last, best, ["]),
    ],
)
def test_bad_requests_are_one_sentence(run, fields, words):
    with pytest.raises(UserError) as refused:
        start(request(run, **fields))
    assert all(word in str(refused.value) for word in words)


@pytest.mark.parametrize("option", ["out", "page"])
def test_nothing_is_written_over_a_run(run, option):
    before = (run / "config.json").read_bytes()
    with pytest.raises(UserError, match=f"--{option}: .* belongs to the run in {run}"):
        start(request(run, **{option: str(run / "config.json")}))
    assert (run / "config.json").read_bytes() == before


def test_runs_that_cannot_be_measured(run, tmp_path):
    with pytest.raises(UserError, match="twice"):
        start(request(run, run))
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(run / "config.json", empty)
    with pytest.raises(UserError, match="no checkpoint"):
        start(request(run, empty))
    assert not (run / "evaluation").exists()
