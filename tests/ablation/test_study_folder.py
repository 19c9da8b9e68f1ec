"""The folder of a study: what may still change, and what is frozen at the first result."""

import json
import re
from dataclasses import replace

import pytest

from cnn.ablation.analysis.collect import collect
from cnn.ablation.execution.worker import record_failure
from cnn.ablation.planning import study_folder
from cnn.ablation.planning.runs import arms_of
from cnn.ablation.planning.study_file import load_study
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.statistics.sequential import AnalysisSchedule
from cnn.config.errors import UserError
from tests.ablation.processes import STUDY
from tests.ablation.written import EXAMPLES, plan_of, write_study


def begun(tmp_path, **changes):
    """A study with a result, in its folder."""
    folder = StudyFolder(tmp_path / "study")
    plan = replace(load_study(STUDY), **changes)
    folder.begin(plan, STUDY, [])
    record_failure(arms_of(plan, folder.path)["max"][0], "it crashed")
    return folder, plan


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"margin": 3.0}, "margin: 1.0 -> 3.0: the study in .* is frozen"),
        ({"metric": "loss"}, "metric: 'accuracy' -> 'loss'"),
        ({"baseline": "strided"}, "baseline: 'max' -> 'strided'"),
        ({"paired": True}, "paired: False -> True"),
        ({"seeds": (0, 1, 3)}, r"seeds: \[0, 1, 2\] -> \[0, 1, 3\]"),
        ({"seeds": (0, 1, 2, 3, 4, 5), "looks": (3, 4, 6)}, r"looks: .* analyzed at \[3, 6\]"),
    ],
)
def test_what_decides_is_frozen_at_the_first_result(tmp_path, changes, words):
    folder, plan = begun(tmp_path)
    before = folder.file.read_bytes()
    with pytest.raises(UserError, match=words):
        folder.begin(replace(plan, **changes), STUDY, [])
    assert folder.file.read_bytes() == before


def test_before_the_first_result_a_study_may_be_changed(tmp_path):
    folder = StudyFolder(tmp_path / "study")
    folder.begin(load_study(STUDY), STUDY, [])
    folder.begin(replace(load_study(STUDY), margin=3.0, seeds=range(5)), STUDY, [])
    assert folder.plan().margin == 3.0
    assert folder.schedule() == AnalysisSchedule((5,), 1)


def test_seeds_that_are_added_are_one_more_analysis_and_arms_are_reported(tmp_path):
    folder, plan = begun(tmp_path)
    arms = {"max": (), "strided": plan.arms["strided"], "avg": ("model.downsample=avg",)}
    for _ in range(2):  # the same command again changes nothing
        folder.begin(replace(plan, seeds=range(8), arms=arms), STUDY, [])
        assert folder.schedule() == AnalysisSchedule((3, 8), 1)
        assert folder.changes() == (
            "arm 'avg' was added after the first results",
            "arm 'diverges' was left out after the first results",
        )
    folder.begin(replace(plan, seeds=range(9)), STUDY, [])
    assert folder.schedule() == AnalysisSchedule((3, 8, 9), 1)


@pytest.fixture
def of_units(tmp_path, monkeypatch):
    """A study whose test examples belong to units, with finished runs."""
    monkeypatch.setattr(study_folder, "unit_names", lambda plan: ["one", "other"] * (EXAMPLES // 2))
    arms = {"max": "max", "avg": "avg"}
    plan = plan_of(arms, seeds=range(1), suites=("calibration",), unit="(.)")
    return StudyFolder(write_study(tmp_path / "study", plan, {"max": 0.8, "avg": 0.7}))


def test_units_are_those_of_the_study_that_gets_results(tmp_path, monkeypatch):
    names = iter((["a", "b"], ["c", "d"], ["e", "f"]))
    monkeypatch.setattr(study_folder, "unit_names", lambda plan: next(names))
    folder, plan = StudyFolder(tmp_path / "study"), replace(load_study(STUDY), unit="(.)")
    for changed in (plan, replace(plan, unit=".(.)")):
        folder.begin(changed, STUDY, [])
    record_failure(arms_of(plan, folder.path)["max"][0], "it crashed")
    folder.begin(changed, STUDY, [])
    assert json.loads(folder.units_file.read_text()) == ["c", "d"]


@pytest.mark.parametrize(
    ("place", "old", "new", "words"),
    [
        ("units.json", '["one"', '{"one"', "line 1, column 7: is not valid JSON"),
        ("units.json", '"one", ', "1, ", "is not a JSON list of texts"),
        ("units.json", '"one", ', "", "has the units of 999 examples, and max/seed-0 was tested"),
        ("units.json", ", ".join(['"one", "other"'] * (EXAMPLES // 2)), '"one"', "names fewer"),
        ("study.json", '"margin": 0.5', '"margin": "0.5"', "the field 'plan.margin' is \"0.5\""),
        ("study.json", '"margin"', '"margins": 1, "margin"', "the field 'plan' is not as ablate"),
        ("study.json", '"suites": [', '"suites": [null, ', "the field 'plan' is not as ablate"),
        ("avg/seed-0/metrics.jsonl", "1600.0", "0", "an images_per_second is not above 0"),
        ("avg/seed-0/metrics.jsonl", "1600.0", "-1", "an images_per_second is not above 0"),
        ("avg/seed-0/evaluation/calibration/test-12.json", '"ece": 0.', '"ece": "a", "b": 0.', "a"),
    ],
)
def test_an_edited_file_of_a_study_is_refused_by_its_name(of_units, place, old, new, words):
    collect(of_units)
    file = of_units.path / place
    text = file.read_text()
    assert old in text
    # Without its hash, as those of earlier versions are.
    file.write_text(re.sub(r',\s+"sha256": "\w+"', "", text.replace(old, new, 1)))
    with pytest.raises(UserError, match=f"^{file}[:,] {re.escape(words)}"):
        collect(of_units)
