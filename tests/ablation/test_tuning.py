"""Tuning: the same budget for every arm, on validation, with seeds of its own, before all else."""

import json
import re
from contextlib import nullcontext
from dataclasses import replace

import pytest

from cnn.ablation import start
from cnn.ablation.analysis.collect import collect
from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.execution import runner, tuning, worker
from cnn.ablation.execution.due import due_runs, is_open
from cnn.ablation.execution.task import Task
from cnn.ablation.planning.runs import arms_of, tuning_runs
from cnn.ablation.planning.study_file import load_study
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.report import render_html, render_markdown
from cnn.config.errors import UserError
from cnn.training import run_folder
from cnn.training.ownership import Ownership
from cnn.training.run_folder import RunFolder
from tests.conftest import TINY

HEAD = "from cnn.ablation.planning.study_plan import StudyPlan\ndef get_study():\n  return "
RATES = {"optimizer.learning_rate": (0.001, 0.4), "optimizer.weight_decay": (0.0, 0.001)}


def write(tmp_path, shared=TINY, **fields):
    known = {
        "name": "tuned",
        "config": "configs/base.py",
        "shared": shared,
        "arms": {"max": (), "avg": ("model.downsample=avg",)},
        "baseline": "max",
        "seeds": (0, 1, 2),
        "margin": 1.0,
        "tune": RATES,
        "tuning_seeds": 2,
    }
    arguments = ", ".join(f"{name}={value!r}" for name, value in (known | fields).items())
    file = tmp_path / "study.py"
    file.write_text(f"{HEAD}StudyPlan({arguments})\n")
    return str(file)


class Pool:
    """Trains in this process, without training: a run's result is what a table says."""

    def __init__(self, runs, result):
        for run in runs:
            if not (run.folder / "result.json").exists():
                run.folder.mkdir(parents=True, exist_ok=True)
                (run.folder / "result.json").write_text(json.dumps(result(run)))

    def poll(self):
        return False

    def stop(self):
        pass


def results(run):
    """0.4 is the best rate of max, and 0.001 that of avg; decay helps both."""
    value = dict(text.split("=", 1) for text in run.overrides)
    best = "0.4" if value.get("model.downsample") != "avg" else "0.001"
    accuracy = 0.5 + 0.2 * (value["optimizer.learning_rate"] == best)
    accuracy += 0.1 * (value["optimizer.weight_decay"] == "0.001")
    accuracy += 0.01 * (run.seed % 2)
    # What is good on the test set is what must not be chosen.
    return {
        "step": 12,
        "test": {"accuracy": 1 - accuracy, "loss": 1.0, "confusion": [[1]]},
        "validation": {"accuracy": accuracy},
        "best": None,
        "fingerprint": "",
        "config": {},
    }


@pytest.fixture
def folder(tmp_path):
    file = write(tmp_path)
    folder = StudyFolder(tmp_path / "study")
    folder.begin(load_study(file), file, [])
    return folder


def test_every_arm_tries_the_same_with_seeds_that_are_not_judged(folder):
    plan = folder.plan()
    tried = tuning_runs(plan, folder.path)
    assert {name: len(settings) for name, settings in tried.items()} == {"max": 4, "avg": 4}
    runs = due_runs(folder)
    assert len(runs) == 2 * 4 * 2
    judged = {r.seed for runs in arms_of(plan, folder.path).values() for r in runs}
    assert not judged & {run.seed for run in runs}
    assert len({run.folder for run in runs}) == len(runs)


def test_what_is_best_on_validation_is_trained(folder, capsys):
    trained = []

    def start_pool(runs):
        trained.append(runs)
        return Pool(runs, results)

    assert runner.run_study(folder, start_pool, Task()) is None
    assert [len(runs) for runs in trained] == [16, 9]
    output = capsys.readouterr().out
    assert "16 runs to tune the arms, 16 of them to train" in output
    assert "tuned: 9 runs, 9 of them to train" in output
    plan = folder.plan()
    assert plan.tuned["max"] == ["optimizer.learning_rate=0.4", "optimizer.weight_decay=0.001"]
    assert plan.tuned["avg"] == ["optimizer.learning_rate=0.001", "optimizer.weight_decay=0.001"]
    for run in trained[1]:
        rate = run.load().config.optimizer.learning_rate
        assert rate == (0.001 if run.arm == "avg" else 0.4)
    # The same command again trains nothing and tunes nothing anew.
    before = folder.tuning_file.read_bytes()
    again = []
    runner.run_study(folder, lambda runs: again.append(runs) or Pool(runs, results), Task())
    assert [len(runs) for runs in again] == [9]
    assert folder.tuning_file.read_bytes() == before


def test_a_setting_that_fails_is_not_chosen_and_one_that_works_is_wanted(folder):
    runs = due_runs(folder)
    Pool(runs, results)
    for run in runs:
        if "optimizer.learning_rate=0.4" in run.overrides:
            worker.record_failure(run, "the loss is nan", diverged=True)
    tuning.choose_settings(folder)
    assert folder.plan().tuned["max"][0] == "optimizer.learning_rate=0.001"
    assert folder.tuning()["max"]["tried"][2]["values"] == [None, None]
    for run in runs:
        worker.record_failure(run, "the loss is nan", diverged=True)
    with pytest.raises(UserError, match="nothing that arm 'max' tried has trained: the loss is na"):
        tuning.choose_settings(folder)


def test_a_crashed_run_is_trained_again_before_the_choice(folder):
    killed = due_runs(folder)[5]

    def start_pool(runs):
        worker.record_failure(killed, "its process died of signal 9 (SIGKILL)")
        return Pool([run for run in runs if run != killed], results)

    with pytest.raises(UserError, match=f"{re.escape(str(killed.folder))} has crashed: .* died"):
        runner.run_study(folder, start_pool, Task())
    assert not folder.tuning_file.exists()
    runner.run_study(folder, lambda runs: Pool(runs, results), Task())
    assert folder.plan().tuned["max"][0] == "optimizer.learning_rate=0.4"


@pytest.mark.parametrize(
    ("failure", "held", "opened"),
    [
        ({"sentence": "out of memory"}, False, True),
        ({"sentence": "out of memory"}, True, False),
        ({"sentence": "the loss is nan", "diverged": True}, False, False),
    ],
)
def test_every_task_opens_the_crashed_runs_of_all_shares_again(folder, failure, held, opened):
    runs = due_runs(folder)
    crashed = Task(1, 2).share(runs)[3]
    Pool([run for run in runs if run != crashed], results)
    worker.record_failure(crashed, **failure)

    seen = []

    def start_pool(due):
        seen.append(is_open(crashed))
        return Pool([run for run in due if is_open(run)], results)

    expected = pytest.raises(UserError, match="out of memory") if held else nullcontext()
    with Ownership(crashed.folder) if held else nullcontext(), expected:
        runner.run_study(folder, start_pool, Task(0, 2))
    assert seen[0] == opened
    assert folder.tuning_file.exists() != held


def test_nothing_is_chosen_while_another_task_has_opened_a_failed_run_again(folder, monkeypatch):
    runs = due_runs(folder)
    Pool(runs[1:], results)
    worker.record_failure(runs[0], "the loss is nan", diverged=True)
    read = run_folder.read_json

    def too_late(file, *kinds):
        RunFolder(runs[0].folder).failure_file.unlink(missing_ok=True)
        return read(file, *kinds)

    monkeypatch.setattr(run_folder, "read_json", too_late)
    tuning.choose_settings(folder)
    assert not folder.tuning_file.exists()


def test_values_can_be_taken_out_and_added_while_finished_runs_are_kept(folder, tmp_path):
    before = due_runs(folder)
    for run in before:
        RunFolder(run.folder).claim(run.load().config, {"mean": [0.5], "std": [0.5]})
    Pool(before, results)
    assert "learning_rate=0_001+weight_decay=0_0-" in str(before[0].folder)
    file = str(tmp_path / "study.py")
    plan = load_study(file)
    for rates, kept in (((0.4,), 8), ((0.4, 0.2, 0.001), 16)):
        folder.begin(replace(plan, tune=RATES | {"optimizer.learning_rate": rates}), file, [])
        runs = due_runs(folder)
        assert len(runs) == 8 * len(rates)
        assert len({run.folder for run in runs}) == len(runs)
        assert sum(not is_open(run) for run in runs) == kept


def test_runs_in_numbered_folders_are_read_and_not_taken_for_other_values(folder, tmp_path):
    runs = due_runs(folder)
    named, numbered = runs[0].folder.parent, runs[0].folder.parent.with_name("setting-0")
    RunFolder(runs[0].folder).claim(runs[0].load().config, {"mean": [0.5], "std": [0.5]})
    named.rename(numbered)
    assert [run.folder.parent for run in due_runs(folder)].count(numbered) == 2
    file = str(tmp_path / "study.py")
    folder.begin(load_study(file), file, [])
    turned = {name: values[::-1] for name, values in RATES.items()}
    with pytest.raises(UserError, match=r"setting-0/.* holds a run with another config: .*rate"):
        folder.begin(replace(load_study(file), tune=turned), file, [])


BEST = {"chosen": ["optimizer.learning_rate=0.4", "optimizer.weight_decay=0.0"], "tried": []}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], "does not contain a JSON object"),
        ({"max": BEST, "avg": 3}, "what it says of arm 'avg' is not what ablate.py wrote"),
        ({"max": BEST, "avg": BEST | {"tried": [{"overrides": []}]}}, "what it says of arm 'avg'"),
        ({"max": BEST}, "is the tuning of other arms or settings"),
        ({"max": BEST, "avg": BEST | {"chosen": ["seed=1"]}}, "is the tuning of other arms or"),
    ],
)
def test_a_tuning_that_was_edited_or_is_anothers_is_refused(folder, found, words):
    folder.tuning_file.write_text(json.dumps({"max": BEST, "avg": BEST}))
    assert folder.plan().tuned["avg"] == BEST["chosen"]
    folder.tuning_file.write_text(json.dumps(found))
    with pytest.raises(UserError, match=f"{folder.tuning_file}: {words}"):
        folder.plan()


def test_what_was_tuned_is_frozen(folder, tmp_path):
    Pool(due_runs(folder), results)
    tuning.choose_settings(folder)
    file = str(tmp_path / "study.py")
    folder.begin(load_study(file), file, [])
    for changes in ({"tuning_seeds": 3}, {"tune": {"optimizer.learning_rate": (0.2,)}}):
        with pytest.raises(UserError, match="is frozen"):
            folder.begin(replace(load_study(file), **changes), file, [])
    with pytest.raises(UserError, match="is tuned, and others were not"):
        folder.begin(replace(load_study(file), arms={"max": ()}), file, [])


def test_a_study_tunes_trains_and_reports(tmp_path, capsys):
    rates = {"optimizer.learning_rate": (1e-6, 0.2)}
    file = write(tmp_path, tune=rates, tuning_seeds=1, repeat_baseline=False)
    start.run(file, str(tmp_path / "study"), [], workers=1)
    output = capsys.readouterr().out
    assert "4 runs to tune the arms, 4 of them to train" in output
    found = analyze(collect(StudyFolder(tmp_path / "study")))
    for text in (render_markdown(found), render_html(found)):
        assert "Every arm was tuned over the same 2 settings with 1 seed each" in text
        assert "optimizer.learning_rate=1e-06" in text
    assert [len(one.tried) for one in found.study.tuning] == [2, 2]
    # A rate that every arm chose in the same way is no factor that would confound it.
    assert all("recipe" not in arm.differs for arm in found.study.arms)
    assert all(arm.overrides[-1].startswith("optimizer.lear") for arm in found.study.arms)
    start.verify(str(tmp_path / "study"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shared": (*TINY, "data.validation=0%")}, "no validation split to choose by"),
        ({"tune": {"optimizer.lr": (0.1,)}}, "optimizer.lr"),
        ({"tune": {"optimizer.learning_rate": ()}}, "at least one value"),
        ({"tune": {"optimizer.learning_rate": (0.1, -0.1)}}, "learning_rate: -0.1 is out of range"),
        ({"tune": RATES | {"optimizer.weight_decay": (0.0, "O")}}, "optimizer.weight_decay"),
        ({"tune": {"optimizer.learning_rate": (0.1, "0.1")}}, "learning_rate' has a value twice"),
        ({"match": "width", "tune": {"model.features": ("4,6",)}}, "is what arms are matched by"),
        ({"seeds": (1, 2, 1_000_000)}, "are for controls and tuning"),
    ],
)
def test_what_cannot_be_tuned_is_refused(tmp_path, changes, words):
    with pytest.raises(UserError, match=words):
        load_study(write(tmp_path, **changes))
