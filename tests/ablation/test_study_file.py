"""What a study file and the options of a run have to be, and what is said when they are not."""

import pytest

from cnn.ablation import start
from cnn.ablation.execution.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import arms_of, folder_name, load_study
from cnn.config.errors import UserError

STUDY = "tests/ablation/study_tiny.py"


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
        (
            "arms={'a': (), 'b': ('data.name=cifar10',)}, baseline='a', seeds=range(3)",
            "changes the data",
        ),
        (
            "arms={'a': ('model.features=4,8', 'model.width=2.0')}, baseline='a', seeds=range(3)",
            "model.width: has no effect on plain",
        ),
        (
            "arms={'a': ()}, networks={'n': (), 'N_': ('model.name=x',)}, baseline='a', "
            "seeds=range(3)",
            "unknown network 'x'",
        ),
        ("arms={'a': ()}, networks={'n.': (), 'n,': ()}, baseline='a', seeds=range(3)", "networks"),
        ("arms={'a': ('seeed=1',)}, baseline='a', seeds=range(3)", "did you mean 'seed'"),
        ("arms={'a': ()}, seeds=range(3)", "TypeError"),
    ],
)
def test_a_bad_study_file_is_one_sentence(tmp_path, body, words):
    file = tmp_path / "study.py"
    file.write_text(
        "from cnn.ablation.planning.study_plan import StudyPlan\n"
        "def get_study():\n"
        f"  return StudyPlan(name='n', config='configs/base.py', margin=1.0, {body})\n"
    )
    with pytest.raises(UserError, match=words) as error:
        load_study(str(file))
    assert "\n" not in str(error.value)


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
        ({"patience": 0.0}, "no time to make a step"),
    ],
)
def test_options_that_go_nowhere_are_refused(tmp_path, options, words):
    with pytest.raises(UserError, match=words):
        start.run(STUDY, str(tmp_path / "study"), [], **options)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("name", ["../../x", "a/b", "max blur", "<b>", ".."])
def test_folder_names_stay_inside(name, tmp_path):
    folder = (tmp_path / folder_name(name)).resolve()
    assert folder.parent == tmp_path.resolve()
