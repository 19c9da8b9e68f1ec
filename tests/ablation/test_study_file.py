"""What a study file and the options of a run have to be, and what is said when they are not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cnn.ablation import start
from cnn.ablation.planning.registration import register_study, registration
from cnn.ablation.planning.runs import arms_of, folder_name
from cnn.ablation.planning.study_file import load_study
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.config.errors import UserError
from cnn.config.metric import METRICS
from tests.ablation.written import plan_of, write_study

STUDY = "tests/ablation/study_tiny.py"
ONE = "arms={'a': ()}, baseline='a', seeds=range(3)"
TEN = "arms={'a': ()}, baseline='a', seeds=range(10)"


def test_overrides_reach_every_arm_and_none_is_lost(tmp_path):
    given = ["train.duration=5 steps"]
    folder = StudyFolder(tmp_path)
    folder.begin(load_study(STUDY, given), STUDY, given)
    for runs in arms_of(folder.plan(), tmp_path).values():
        assert runs[0].load().config.train.duration == "5 steps"
    assert "'--config.train.duration=5 steps'" in folder.command()
    for text, words in (
        ("model.downsample=avg", "'strided' sets it itself"),
        ("seed=3", "runs every seed"),
        ("train.duraton=5 steps", "did you mean 'train.duration'"),
    ):
        with pytest.raises(UserError, match=words):
            load_study(STUDY, [text])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("arms={'a': ()}, baseline='b', seeds=range(3)", "unknown arm 'b'"),
        ("arms={'a': ()}, baseline='a', seeds=range(2)", "fewer than 3"),
        (
            "arms={'a': ()}, baseline='a', seeds=range(3), suites=('shift(image=5)',)",
            "suites: 'shift' has no option 'image'; did you mean 'images'",
        ),
        ("arms={'a': (), 'A ': (), 'A_': ()}, baseline='a', seeds=range(3)", "punctuation"),
        ("arms={'a': (), '': ()}, baseline='a', seeds=range(3)", "arms: '' names a folder"),
        (
            "arms={'a': (), 'b' * 201: ()}, baseline='a', seeds=range(3)",
            "so it needs 1 to 200 bytes; rename it",
        ),
        (
            "arms={'a': (), 'b': ('data.name=cifar10',)}, baseline='a', seeds=range(3)",
            "changes the data",
        ),
        (
            "arms={'a': ('model.features=4,8', 'model.width=2.0')}, baseline='a', seeds=range(3)",
            "model.width: has no effect",
        ),
        (
            "arms={'a': ()}, networks={'n': (), 'N_': ('model.name=x',)}, baseline='a', "
            "seeds=range(3)",
            "unknown network 'x'",
        ),
        ("arms={'a': ()}, networks={'n.': (), 'n,': ()}, baseline='a', seeds=range(3)", "networks"),
        ("arms={'a': ('seeed=1',)}, baseline='a', seeds=range(3)", "did you mean 'seed'"),
        ("arms={'a': ()}, seeds=range(3)", "baseline: unknown arm '': allowed: a"),
        ("arms={'a': ()}, baseline='a'", "TypeError"),
        (f"{ONE}, margin=0", "margin: 0 is not a positive number of pp"),
        (f"{ONE}, margin=-1.0", "margin: -1.0 is not a positive"),
        (f"{ONE}, margin=float('nan')", "margin: nan is not a positive"),
        (f"{ONE}, margin=100.0", "margin: 100.0 pp is more than shares can differ by"),
        (f"{TEN}, looks=(2, 5)", r"looks: \(2, 5\) have to begin at 3 seeds"),
        (f"{TEN}, looks=(6, 3)", "looks"),
        (f"{TEN}, looks=(4, 12)", "end at the 10 seeds of the study"),
        (f"{ONE}, metric='acuracy'", "metric: unknown metric 'acuracy': did you mean 'accuracy'"),
        (
            f"{ONE}, metric='as_trained, ece'",
            "measured by the suite 'calibration', which suites does not name",
        ),
        (f"{ONE}, metric='loss', higher_is_better=True", "of 'loss' lower is better"),
        (f"{ONE}, population='all'", "population: unknown 'all'"),
        (f"{ONE}, unit='/(a)(b)'", "unit: .* has 2 groups"),
        (f"{ONE}, unit='('", "is no pattern"),
        (f"{ONE}, unit=3", "unit: 3 is not text"),
        (f"{ONE}, margin='0.5'", "margin: '0.5' is not a number"),
        (f"{ONE}, margin=10**400", "margin: 1000.*0 is not a number"),
        (f"{ONE}, margin=10**5000", "line 1: ValueError: Exceeds the limit"),
        (f"{ONE}, metric=3", "metric: 3 is not text"),
        (f"{ONE}, population=3", "population: 3 is not text"),
        (f"{ONE}, race=1", "race: 1 is not true or false"),
        (f"{ONE}, looks='3'", r"looks: '3' is not a tuple; write \('3',\), with a comma"),
        (f"{ONE}, suites=(None,)", "suites: None is not text"),
        (f"{ONE}, tune={{'optimizer.learning_rate': 3}}", "learning_rate': 3 is not a tuple"),
        (f"{ONE}, networks=3", "networks: 3 is not a dict; give names with their values"),
        ("arms=['a'], baseline='a', seeds=range(3)", "arms: .* is not a dict"),
        ("arms={3: ()}, baseline='a', seeds=range(3)", "arms: 3 is not text"),
        ("arms={'a': (1,)}, baseline='a', seeds=range(3)", "arms: 'a': 1 is not text"),
        (
            "arms={'a': 'model.downsample=avg'}, baseline='a', seeds=range(3)",
            r"arms: 'a': 'model.downsample=avg' is not a tuple; write \('model.downsample=avg',\)",
        ),
        ("factors=3, seeds=range(3)", "factors: 3 is not a dict"),
        ("arms={'a': ()}, baseline='a', seeds=3", r"seeds: 3 is not a tuple; write \(3,\)"),
        (f"{ONE[:-8]}(0, 1, 2.5)", "seeds: 2.5 is not an integer"),
        (f"{ONE[:-8]}(0, 1, 1)", "seeds: .* occur twice"),
        (f"{ONE[:-8]}(0, 1, -2)", r"seeds: -2 is out of range; allowed: \[0, 2147483647\]"),
        (f"{ONE[:-8]}(0, 1, 10**30)", "seeds: 1000000000000000000000000000000 is out of range"),
        (f"{ONE[:-8]}(0, 1, 2147483647)", "out of range; .* the A/A control adds 1,000,000"),
        (f"{ONE[:-8]}(0, 1, 1_000_000)", "1000000 is a seed of the A/A control"),
    ],
)
def test_a_bad_study_file_is_one_sentence(tmp_path, body, words):
    file = tmp_path / "study.py"
    file.write_text(
        "from cnn.ablation.planning.study_plan import StudyPlan\n"
        "BASE = dict(name='n', config='configs/base.py')\n"
        "def get_study():\n"
        f"  return StudyPlan(**(dict(margin=1.0) | dict({body})), **BASE)\n"
    )
    with pytest.raises(UserError, match=words) as error:
        load_study(str(file))
    assert "\n" not in str(error.value)


def test_a_study_file_that_forgets_its_return_is_one_sentence(tmp_path):
    file = tmp_path / "study.py"
    file.write_text("def get_study():\n  pass\n")
    with pytest.raises(UserError, match="returns NoneType; return a StudyPlan"):
        load_study(str(file))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "rey"}, "did you mean 'ray'"),
        ({"engine": "ray", "workers": 2}, "--workers: has no effect"),
        ({"engine": "ray", "replicas": 2}, "--replicas: has no effect"),
        ({"replicas": 0}, "less than 1"),
        ({"gpus": 1.0}, "--gpus: has no effect"),
        ({"retries": 1}, "--retries: has no effect"),
        ({"engine": "ray", "gpus": -1.0}, "less than 0"),
        ({"workers": 0}, "less than 1"),
        ({"task": "3/2"}, "--task"),
        ({"patience": 0.0}, "too short for a step"),
    ],
)
def test_options_that_go_nowhere_are_refused(tmp_path, options, words):
    with pytest.raises(UserError, match=words):
        start.run(STUDY, str(tmp_path / "study"), [], **options)
    assert not (tmp_path / "study").exists()


def test_arms_may_have_any_name():
    chinese = replace(load_study(STUDY), arms={"最大": (), "平均": ()}, baseline="最大")
    assert folder_name("最大") != folder_name("平均")
    assert chinese.aa_arm == "最大 again"
    taken = replace(load_study(STUDY), arms={"max": (), "max again": ("model.downsample=avg",)})
    assert taken.aa_arm == "max again (A/A)"
    arms = arms_of(taken, Path("x"))
    assert list(arms) == ["max", "max again (A/A)", "max again"]
    assert len({run.folder for runs in arms.values() for run in runs}) == 9
    assert "model.downsample=avg" in arms["max again"][0].overrides


def test_lower_is_better_where_the_metric_says_so():
    assert replace(load_study(STUDY), metric="loss").described.higher_is_better is False
    for name in ("ece", "nll", "brier"):
        assert METRICS[f"as_trained, {name}"].higher_is_better is False


@pytest.mark.parametrize("name", ["../../x", "a/b", "max blur", "<b>", ".."])
def test_folder_names_stay_inside(name, tmp_path):
    folder = (tmp_path / folder_name(name)).resolve()
    assert folder.parent == tmp_path.resolve()


def test_a_study_from_any_folder_finds_a_config_of_the_repository(tmp_path, monkeypatch):
    text = (
        "from cnn.ablation.planning.study_plan import StudyPlan\n\n\n"
        "def get_study():\n"
        f"    return StudyPlan(name='x', config='configs/base.py', {ONE}, margin=1.0)\n"
    )
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    plan = load_study("mine.py")
    assert Path(plan.config).is_file()
    folder = StudyFolder(tmp_path / "runs" / "study")
    folder.begin(plan, "mine.py", [])
    assert folder.command() == "python ablate.py run --config=mine.py --workdir=runs/study"
    monkeypatch.chdir(tmp_path.parent)
    assert f"--workdir={tmp_path.name}/runs/study" in folder.command()


def registered(tmp_path):
    folder, plan = StudyFolder(tmp_path / "study"), load_study(STUDY)
    return folder, plan, register_study(folder, plan, STUDY, [])


def test_a_registered_study_says_so_or_what_changed(tmp_path):
    folder, plan, digest = registered(tmp_path)
    assert registration(folder) == (digest, ())
    assert register_study(folder, plan, STUDY, []) == digest
    folder.begin(replace(plan, margin=2.0, seeds=range(4)), STUDY, [])
    found, changed = registration(folder)
    assert found == digest
    assert changed == (
        "margin: 1.0 -> 2.0 since it was registered",
        "seeds: [0, 1, 2] -> [0, 1, 2, 3] since it was registered",
    )
    with pytest.raises(UserError, match="registers another study"):
        register_study(folder, replace(plan, margin=2.0), STUDY, [])


def test_the_report_of_a_registered_study_says_so_or_what_changed(tmp_path):
    plan, place = plan_of({"max": "max", "average": "avg"}), tmp_path / "study"
    digest = register_study(StudyFolder(place), plan, STUDY, [])
    write_study(place, plan, {"max": 0.7, "average": 0.8})
    start.report([str(place)])
    report = (place / "report.md").read_text()
    assert f"Registered before training.** SHA-256 {digest}, unchanged since" in report
    start.verify(str(place))
    # A wider margin, after the fact.
    file = place / "study.json"
    file.write_text(file.read_text().replace('"margin": 0.5', '"margin": 20.0'))
    for command in (start.verify, lambda text: start.report([text])):
        with pytest.raises(UserError, match=r"study\.json: was changed after it was written"):
            command(str(place))
    record = json.loads(file.read_text())
    del record["sha256"]
    file.write_text(json.dumps(record))
    with pytest.raises(UserError, match="differs from a recomputation from its runs"):
        start.verify(str(place))
    start.report([str(place)])
    report = (place / "report.md").read_text()
    assert f"SHA-256 {digest}, with the changes below" in report
    assert "margin: 0.5 -&gt; 20.0 since it was registered" in report
    # The registration is made to fit.
    file = place / "registration.json"
    file.write_text(file.read_text().replace('"margin": 0.5', '"margin": 20.0'))
    with pytest.raises(UserError, match="its hash does not match its content"):
        start.verify(str(place))


def test_a_study_without_the_outcomes_of_examples_is_verified_from_its_results(tmp_path, capsys):
    plan, place = plan_of({"max": "max", "average": "avg"}), tmp_path / "study"
    write_study(place, plan, {"max": 0.7, "average": 0.8})
    for file in place.rglob("test_predictions.npz"):
        file.unlink()
    start.report([str(place)])
    start.verify(str(place))
    output = capsys.readouterr().out
    assert "are what the results of the runs give; outcomes of single examples were not" in output
    result = next(place.glob("average/*/result.json"))
    result.write_text(result.read_text().replace('"accuracy": 0.8', '"accuracy": 0.9'))
    with pytest.raises(UserError, match="differs from a recomputation from its runs"):
        start.verify(str(place))


def test_a_registration_that_was_changed_is_found(tmp_path):
    folder, _, _ = registered(tmp_path)
    file = folder.path / "registration.json"
    file.write_text(file.read_text().replace('"margin": 1.0', '"margin": 2.0'))
    with pytest.raises(UserError, match="its hash does not match its content"):
        registration(folder)


@pytest.mark.parametrize("text", ["", "[]", '{"sha256": 1}', '{"sha256": "", "content": []}'])
def test_a_damaged_registration_is_refused_by_its_file(tmp_path, text):
    folder, plan, _ = registered(tmp_path)
    file = folder.path / "registration.json"
    file.write_text(text)
    with pytest.raises(UserError, match=f"^{file}"):
        registration(folder)
    with pytest.raises(UserError, match=f"^{file}"):
        register_study(folder, plan, STUDY, [])


def test_a_study_that_has_begun_cannot_be_registered(tmp_path):
    folder, plan = StudyFolder(tmp_path / "study"), load_study(STUDY)
    folder.begin(plan, STUDY, [])
    assert registration(folder) == ("", ())
    arms_of(plan, folder.path)["max"][0].folder.mkdir(parents=True)
    with pytest.raises(UserError, match="has begun; a study is registered before training"):
        register_study(folder, plan, STUDY, [])
