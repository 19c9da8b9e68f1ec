import pytest

from cnn.config.base import FIELDS
from cnn.config.errors import UserError
from cnn.config.load import load
from cnn.config.synonyms import SYNONYMS


def refused(path, *overrides):
    with pytest.raises(UserError) as error:
        load(str(path), overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def config_file(tmp_path):
    def write(*lines, signature="get_config()"):
        file = tmp_path / "experiment.py"
        body = "\n".join(f"  {line}" for line in lines)
        file.write_text(
            f"from configs import base\ndef {signature}:\n  config = base.get_config()\n"
            f"{body}\n  return config\n"
        )
        return file

    return write


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "optimizer.learning_rat=1",
            ["optimizer.learning_rat", "did you mean 'optimizer.learning_rate'"],
        ),
        ("optimizer=1", ["optimizer", "group"]),
        ("seed", ["seed", "needs a value"]),
        ("train.batch_size=1.5", ["train.batch_size", "1.5", "int"]),
        ("train.batch_size=many", ["train.batch_size", "many", "int"]),
        ("augment.flip=perhaps", ["augment.flip", "perhaps", "bool"]),
        ("seed=-1", ["seed", "-1", "[0, 2147483647]"]),
        ("model.dropout=1", ["model.dropout", "1.0", "[0, 1)"]),
        ("optimizer.name=sdg", ["optimizer.name", "did you mean 'sgd'"]),
        ("train.duration=ten epochs", ["train.duration", "ten epochs", "500 steps"]),
        ("optimizer.beta1=0.8", ["optimizer.beta1", "no effect", "optimizer.name=sgd", "adamw"]),
        ("data.path=x", ["data.path", "no effect", "folder"]),
        ("data.validation=10", ["data.validation", "'10%' or '5000 examples'"]),
        ("log.every=1e400 steps", ["log.every", "too long"]),
        ("schedule.boundaries=1000,2000", ["schedule.boundaries", "'1000' is not a duration"]),
        ("augment.random_resized_crop=5 steps,10 steps", ["random_resized_crop", "not a number"]),
        ("augment.random_resized_crop=0.5", ["random_resized_crop", "has 1 values; give 0 or 2"]),
        ("augment.time_masks=nan,nan", ["augment.time_masks", "nan", "not an integer"]),
        ("augment.mixup=nan", ["augment.mixup", "nan", "out of range"]),
        ("data.synthetic_examples=inf,1", ["data.synthetic_examples", "inf", "not an integer"]),
        ("data.mean='x','y','z'", ["data.mean", "x", "not a number"]),
        ("evaluation.batch_size=1099511627776", ["evaluation.batch_size", "[1, 1048576]"]),
        ("plugins=x.py", ["plugins", "--plugin=FILE"]),
    ],
)
def test_a_bad_override_is_one_sentence_with_field_and_remedy(override, words):
    message = refused("configs/base.py", override)
    assert all(word in message for word in words), message


def test_overrides_take_the_type_of_the_field():
    config = load(
        "configs/base.py",
        ["train.batch_size=1e2", "model.features=16,32", "augment.flip=true",
         "optimizer.learning_rate=1", "schedule.name=step", "schedule.boundaries=10%,20 epochs"],
    ).config  # fmt: skip
    assert config.train.batch_size == 100
    assert type(config.train.batch_size) is int
    assert config.model.features == (16, 32)
    assert config.augment.flip is True
    assert type(config.optimizer.learning_rate) is float
    assert config.schedule.boundaries == ("10%", "20 epochs")


def test_a_loaded_config_is_locked_and_knows_what_was_set():
    loaded = load("configs/cifar10_resnet20.py", ["seed=3"])
    with pytest.raises(AttributeError):
        loaded.config.train.batchsize = 3
    assert {"seed", "model.name", "augment.pad"} <= loaded.set_fields
    assert "optimizer.momentum" not in loaded.set_fields


def test_a_selector_on_the_command_line_frees_the_files_fields(config_file):
    file = config_file("config.optimizer.momentum = 0.8")
    assert load(str(file), ["optimizer.name=adamw"]).config.optimizer.name == "adamw"
    message = refused(file, "optimizer.name=adamw", "optimizer.momentum=0.7")
    assert "optimizer.momentum: has no effect" in message


def test_a_missing_file_is_named_with_the_nearest():
    message = refused("configs/cifar10_resnet2.py")
    assert "did you mean 'configs/cifar10_resnet20.py'" in message


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["config.train.batchsize = 3"],
            ["line 4", "batchsize", "did you mean 'train.batch_size'"],
        ),
        (["config.train.batch_size = 'x'"], ["line 4", "batch_size"]),
        (["config.train.batch_size = 1 / 0"], ["line 4", "ZeroDivisionError"]),
        (["config.train.batch_size = (3"], ["line", "SyntaxError"]),
        (["config.optimizer.beta1 = 0.5"], ["optimizer.beta1", "no effect"]),
        (["import sys", "sys.exit(0)"], ["line 5", "calls sys.exit"]),
        (
            ["return type(config)()"],
            ["a config without 'augment.alternate'; start from that of configs/base.py"],
        ),
        (["return None"], ["get_config() returns NoneType; return a ConfigDict"]),
    ],
)
def test_a_broken_file_is_reported_with_its_line(config_file, lines, words):
    message = refused(config_file(*lines), "seed=1")
    assert all(word in message for word in words), message


def test_the_argument_reaches_get_config(config_file):
    file = config_file("config.seed = int(arg)", signature="get_config(arg)")
    assert load(f"{file}:7").config.seed == 7
    assert "takes no argument" in refused("configs/base.py:7")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("optimizer.lr", "optimizer.learning_rate"),
        ("lr", "optimizer.learning_rate"),
        ("wd", "optimizer.weight_decay"),
        ("bs", "train.batch_size"),
        ("train.epochs", "train.duration"),
        ("epochs", "train.duration"),
        ("train.learning_rate", "optimizer.learning_rate"),
        ("augment.padding", "augment.pad"),
        ("arch", "model.name"),
        ("model.depth", "model.depths"),
        ("optimizer.weight_deca", "optimizer.weight_decay"),
    ],
)
def test_what_people_type_leads_to_the_field(typed, meant):
    assert f"did you mean '{meant}'?" in refused("configs/base.py", f"{typed}=1")


def test_a_group_is_not_a_field():
    assert "like model.name=resnet20" in refused("configs/base.py", "model=resnet20")


def test_synonyms_are_no_fields_and_name_fields():
    assert not set(SYNONYMS) & set(FIELDS)
    assert set(SYNONYMS.values()) <= set(FIELDS)


def test_a_file_that_is_not_there_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused("configs/mine.py")
    assert str(tmp_path) in message
    assert not message.endswith(": ")
