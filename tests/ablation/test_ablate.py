"""A study from the command line: dead workers, two runners, reports and their verification."""

import csv
import json
import os
import shutil
import signal
import statistics
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from cnn.ablation import start
from cnn.ablation.analysis.collect import collect
from cnn.ablation.execution import due, worker
from cnn.ablation.planning.runs import arms_of
from cnn.ablation.planning.study_file import load_study
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.config.errors import UserError
from cnn.evaluation.results import ResultFile
from cnn.evaluation.suite import Asked
from cnn.training.logs import read_metrics
from cnn.training.ownership import owner_file
from cnn.training.run_folder import RunFolder
from tests.ablation.processes import STUDY, children, command, run, wait_for
from tests.conftest import REPOSITORY


def kill_a_worker(workdir, runner):
    """Kills the worker of a runner in the middle of a run; returns the file that tells it."""

    def caught():
        for log in workdir.glob("*/seed-*/metrics.jsonl"):
            claim = owner_file(log.parent)
            if not claim.exists():
                continue
            pid = json.loads(claim.read_text())["pid"]
            os.kill(pid, signal.SIGSTOP)
            if claim.exists() and not (log.parent / "result.json").exists():
                os.kill(pid, signal.SIGKILL)
                return RunFolder(log.parent).failure_file
            os.kill(pid, signal.SIGCONT)
        return None

    failure = wait_for(caught, runner)
    wait_for(failure.exists, runner)
    return failure


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study whose worker and runner were killed on the way, and two tasks that ended it."""
    workdir = tmp_path_factory.mktemp("studies") / "study"
    first = subprocess.Popen(
        command("run", workdir, "--workers=1"),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
    )
    failure = kill_a_worker(workdir, first)
    assert "signal 9" in json.loads(failure.read_text())["error"]
    begun = len(list(workdir.glob("*/seed-*/metrics.jsonl")))
    wait_for(lambda: len(list(workdir.glob("*/seed-*/metrics.jsonl"))) > begun, first)
    workers = children(first.pid)
    for pid in (first.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    first.wait()
    assert len(workers) == 1
    assert list(workdir.glob("*/*/owner.json"))
    both = [
        subprocess.Popen(
            command("run", workdir, "--workers=1", f"--task={i}/2"),
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    outputs = [p.communicate(timeout=400)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0], outputs
    return workdir, outputs


def test_every_run_is_trained_once_whoever_died(finished):
    workdir, _ = finished
    for arm, runs in arms_of(load_study(STUDY), workdir).items():
        for one in runs:
            rows = (one.folder / "metrics.jsonl").read_text().splitlines()
            losses = [json.loads(row) for row in rows]
            steps = [r["step"] for r in losses if r["name"] == "loss" and r["split"] == "train"]
            assert steps == sorted(set(steps))
            assert (one.folder / "result.json").exists() == (arm != "diverges")
    assert not list(workdir.glob("*/*/owner.json*"))


def test_a_study_that_was_never_killed_ends_the_same(finished, tmp_path):
    arms = arms_of(load_study(STUDY), tmp_path)
    runs = [*arms["max"], *arms["strided"]]
    assert worker.work(runs) == 0
    for calm in runs:
        one, other = (
            json.loads((folder / "result.json").read_text())["test"]
            for folder in (calm.folder, finished[0] / calm.folder.relative_to(tmp_path))
        )
        assert one["confusion"] == other["confusion"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-6)


def test_a_report_over_unfinished_runs_is_marked_partial(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished[0], copy, ignore=shutil.ignore_patterns("checkpoints"))
    (copy / "max" / "seed-0" / "result.json").unlink()
    shutil.rmtree(copy / "strided" / "seed-1")
    start.report([str(copy)])
    page, lines = (copy / "report.html").read_text(), (copy / "report.md").read_text().splitlines()
    assert "Interim." in page
    assert ">begun<" in page
    assert ">not begun<" in page
    assert any("[begun](<max/seed-0>)" in line for line in lines)
    assert any(line.startswith("- strided: ") and ", not begun, " in line for line in lines)
    assert "Interim." not in (finished[0] / "report.html").read_text()
    with open(copy / "report.csv") as file:
        assert {row["partial"] for row in csv.DictReader(file)} == {"true"}


def test_replicas_end_as_single_runs_and_a_failing_seed_alone(finished, tmp_path):
    runs = {run.seed: run for run in arms_of(load_study(STUDY), tmp_path)["max"]}
    # A folder that holds something else fails its seed, and no other.
    runs[1].folder.mkdir(parents=True)
    (runs[1].folder / "notes.txt").write_text("mine")
    assert worker.work(list(runs.values()), replicas=3) == 0
    assert RunFolder(runs[1].folder).failure_file.exists()
    for seed in (0, 2):
        mine, theirs = (
            json.loads((folder / "result.json").read_text())["test"]
            for folder in (runs[seed].folder, finished[0] / "max" / f"seed-{seed}")
        )
        assert mine["confusion"] == theirs["confusion"]
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    assert not list(tmp_path.glob("*/*/owner.json*"))


def test_the_report_names_the_failing_arm_and_judges_the_rest(finished):
    workdir, _ = finished
    report = (workdir / "report.md").read_text()
    assert "diverges is unstable: 3 of 3 seeds diverged" in report
    assert "max again" in report
    page = (workdir / "report.html").read_text()
    assert "Tiny &lt;study&gt; &amp; co" in page
    assert "the loss is" in page


def test_the_time_of_a_step_is_that_of_the_logs(finished):
    workdir, _ = finished
    for arm in collect(StudyFolder(workdir)).arms:
        medians = []
        for one in arm.seeds:
            rows = read_metrics(workdir / one.run_dir / "metrics.jsonl")
            speeds = [r["value"] for r in rows if r["name"] == "images_per_second"]
            if speeds:
                medians.append(statistics.median(1000 * 16 / v for v in speeds))
        assert (arm.step_time_ms is None) == (not medians) == (arm.name == "diverges")
        if medians:
            assert arm.step_time_ms == pytest.approx(statistics.median(medians))


def test_the_cost_of_an_arm_is_counted(finished):
    arms = {arm.name: arm for arm in collect(StudyFolder(finished[0])).arms}
    # 8 x 8 images: 3x3 convolutions at 8 and 4 pixels, then a 6 to 7 linear map.
    assert arms["max"].macs == 64 * 9 * 3 * 4 + 16 * 9 * 4 * 6 + 6 * 7
    assert arms["strided"].macs == 16 * 9 * 3 * 4 + 4 * 9 * 4 * 6 + 6 * 7
    assert arms["max"].params == 9 * 3 * 4 + 2 * 4 + 9 * 4 * 6 + 2 * 6 + 6 * 7 + 7
    assert arms["diverges"].macs is None


def test_registered_metrics_of_suites_stand_beside_accuracy(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished[0], copy, ignore=shutil.ignore_patterns("checkpoints"))
    results = {"circular_grid": {"consistency": 0.75, "worst_case": 0.25, "count": 5}}
    for i, folder in enumerate(sorted((copy / "max").glob("seed-*/"))):
        step, complete = [(12, True), (9, True), (12, False)][i]
        own, asked = RunFolder(folder), Asked("shift")
        ResultFile.of(own, asked, step, "test").write(results, complete=complete)
        # Other splits and other options count for nothing.
        for other in (
            ResultFile.of(own, asked, 12, "validation"),
            ResultFile.of(own, Asked("shift", {"images": 3}), 12, "test"),
        ):
            other.write({"circular_grid": {"consistency": 0.1}}, complete=True)
    runs = next(arm.seeds for arm in collect(StudyFolder(copy)).arms if arm.name == "max")
    seen = [{n: v for n, v in run.metrics.items() if "consistency" in n} for run in runs]
    assert seen == [{"circular_grid, consistency": 0.75}, {}, {}]
    assert set(runs[1].metrics) == {"accuracy", "loss", "top5_accuracy"}
    # Others that a study can be about are there too; details are not.
    assert runs[0].metrics["circular_grid, worst_case"] == 0.25
    assert "circular_grid, accuracy" not in runs[0].metrics


def test_a_study_measures_the_suites_that_it_asks_for(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished[0], copy)
    plan = StudyFolder(copy).plan()
    suites = ["shift(images=5, exhaustive=0, passes=1)"]
    description = StudyFolder(copy).description()
    description["plan"]["suites"] = suites
    del description["sha256"]
    StudyFolder(copy).file.write_text(json.dumps(description))
    [asks] = [r for r in arms_of(replace(plan, suites=suites), copy)["max"] if r.seed == 0]
    assert due.is_open(asks)
    assert worker.work([asks]) == 0
    assert not due.is_open(asks)
    arms = {arm.name: arm for arm in collect(StudyFolder(copy)).arms}
    assert 0 <= arms["max"].seeds[0].metrics["circular_grid, consistency"] <= 1
    assert due.is_open(replace(asks, suites=("shift(images=6)",)))
    # What does not fit is the run's failure, in words.
    misfit = replace(asks, suites=("shift(max_shift=4)",))
    assert worker.work([misfit]) == 0
    assert "smaller than the grid" in RunFolder(asks.folder).failure_file.read_text()
    assert not due.is_open(misfit)


def test_the_same_command_again_trains_only_what_failed(finished):
    workdir, _ = finished
    before = {p: p.stat().st_mtime_ns for p in workdir.glob("*/*/result.json")}
    done = run(*command("run", workdir, "--workers=1"))
    assert done.returncode == 0, done.stderr
    assert "12 runs, 3 of them to train" in done.stdout
    assert before == {p: p.stat().st_mtime_ns for p in workdir.glob("*/*/result.json")}


def test_a_report_needs_the_run_folders_alone(finished, tmp_path):
    workdir, _ = finished
    copy = tmp_path / "copy"
    shutil.copytree(workdir, copy, ignore=shutil.ignore_patterns("report.*", "checkpoints"))
    done = run(*command("report", copy))
    assert done.returncode == 0, done.stderr
    csv = (copy / "report.csv").read_text()
    assert csv == (workdir / "report.csv").read_text()


def test_a_report_of_nothing_is_refused(tmp_path):
    done = run(*command("report", tmp_path))
    assert done.returncode == 2
    assert "there is no study" in done.stderr
    folder = StudyFolder(tmp_path / "begun")
    folder.begin(load_study(STUDY), STUDY, [])
    with pytest.raises(UserError, match="no run of this study is finished"):
        collect(folder)


def test_a_folder_of_something_else_is_left_alone(finished, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no study"):
        StudyFolder(tmp_path).begin(load_study(STUDY), STUDY, [])
    longer = load_study(STUDY, ["train.duration=13 steps"])
    with pytest.raises(UserError, match=r"train\.duration: '12 steps' -> '13 steps'"):
        StudyFolder(finished[0]).begin(longer, STUDY, [])


def test_verify_finds_one_flipped_outcome(finished, tmp_path, capsys):
    copy = tmp_path / finished[0].name
    shutil.copytree(finished[0], copy, ignore=shutil.ignore_patterns("checkpoints"))
    start.report([str(copy)])
    capsys.readouterr()
    start.verify(str(copy))
    assert "report.html, report.md, report.csv" in capsys.readouterr().out
    file = copy / "strided" / "seed-1" / "test_predictions.npz"
    outcomes = dict(np.load(file))
    right = np.flatnonzero(outcomes["prediction"] == outcomes["label"])[0]
    outcomes["prediction"][right] = (outcomes["label"][right] + 1) % 7
    np.savez(file, **outcomes)
    with pytest.raises(UserError, match="strided/seed-1: its kept predictions"):
        start.verify(str(copy))
    # The result says so too: then the reports do not.
    result = json.loads((file.parent / "result.json").read_text())
    right = outcomes["prediction"] == outcomes["label"]
    result["test"]["accuracy"] = float(right.mean())
    (file.parent / "result.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match=r"its runs: report.html differs in line \d+"):
        start.verify(str(copy))
    shutil.copyfile(finished[0] / "strided" / "seed-1" / "result.json", file.parent / "result.json")
    (copy / "report.csv").unlink()
    shutil.copyfile(finished[0] / "strided" / "seed-1" / file.name, file)
    with pytest.raises(UserError, match=r"report\.csv is missing"):
        start.verify(str(copy))


def test_strict_refuses_mixed_runs(finished, tmp_path):
    copy = tmp_path / finished[0].name
    shutil.copytree(finished[0], copy, ignore=shutil.ignore_patterns("checkpoints"))
    for commit, folder in zip("abb", sorted((copy / "max").glob("seed-*/")), strict=True):
        result = json.loads((folder / "result.json").read_text())
        (folder / "result.json").write_text(json.dumps(result | {"commit": commit}))
    start.report([str(copy)])
    assert "commits: " in (copy / "report.md").read_text()
    with pytest.raises(UserError, match=r"--strict: .* runs of \d commits"):
        start.report([str(copy)], strict=True)
