"""Every arm of every ready-made study can be trained on its kind of examples."""

from pathlib import Path

import jax
import pytest

from cnn import models
from cnn.ablation.planning.runs import arms_of
from cnn.ablation.planning.study_file import load_study
from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.layers import DOWNSAMPLERS, HEADS
from cnn.training.assembly import make_evaluator
from cnn.training.plan import make_training_plan
from configs import base
from configs.ablations.downsamplers import SAME
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "configs" / "ablations"
FILES = sorted(p.name for p in FOLDER.glob("*.py") if p.name not in ("__init__.py", "short.py"))
ROWS = [f"atlas.py:{row}" for row in ("cifar10", "resnet8", "digits", "fashion,matched")]
NAMES = [*FILES, "pooling.py:vgg11", "pooling.py:resnet20", *ROWS]


def study(name):
    return load_study(f"configs/ablations/{name}")


def opened(data):
    """Opens what is embedded, or what stands for sound and prepared data sets, which are not."""
    side = data.image_size or 28
    prepared = {"cifar10": (32, 32, 3), "fashion_mnist": (side, side, 1)}
    samples = round(data.sound.seconds * data.sound.rate)
    shape = (samples, 1) if data.signal == "sound" else prepared.get(data.name)
    if shape:
        data = data.copy_and_resolve_references().unlock()
        data.update(source="synthetic", synthetic_shape=shape, synthetic_examples=(512, 2000))
        data.update(train_split="train", test_split="test")
    return open_dataset(data)


@pytest.mark.parametrize(
    "name", [*NAMES, pytest.param("atlas.py:digits,others", marks=pytest.mark.exhaustive)]
)
def test_every_arm_fits_the_examples(name, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    plan, shapes = study(name), {}
    dataset = None
    for arm, runs in arms_of(plan, Path("x")).items():
        assert len(runs) == len(plan.seeds)
        if runs[0].arm == plan.aa_arm:
            continue
        config = runs[0].load().config
        dataset = dataset or opened(config.data)
        evaluator = make_evaluator(config, dataset)
        make_training_plan(config, len(dataset.train), evaluator.mesh.size)
        image = jax.ShapeDtypeStruct((2, *dataset.input_shape), "float32")
        state = evaluator.abstract_state()
        shapes[arm] = jax.eval_shape(
            lambda variables, x, module=evaluator.model: module.apply(variables, x, train=False),
            state.variables(),
            image,
        )
    assert {x.shape for x in shapes.values()} == {(2, dataset.num_classes)}
    assert len(dataset.test) == 2000
    # One that measures suites is about them, and takes long as it is; of one arm nothing differs.
    assert plan.suites or len(plan.arms) == 1 or (plan.aa_arm and len(plan.seeds) >= 10)


@pytest.mark.parametrize("name", FILES)
def test_a_study_says_how_it_is_started(name):
    text = (FOLDER / name).read_text()
    commands = f"--config=configs/ablations/{name}", "make ablation"
    assert any(words in text for words in commands)


def test_studies_of_a_registry_have_every_entry():
    operators = {name for name, _ in DOWNSAMPLERS.items()}
    assert set(study("downsamplers.py").arms) | set(SAME) == operators
    assert set(study("heads.py").arms) == {name for name, _ in HEADS.items()}


def test_springenbergs_table_is_that_of_the_registered_networks():
    def network(*overrides):
        model = base.get_config().model
        with model.unlocked():
            for text in overrides:
                field, _, value = text.partition("=")
                model[field.removeprefix("model.")] = value
        return models.build(model, 10)

    plan = study("allcnn.py")
    suffixes = {"base": "_base", "strided": "_strided", "conv pool": "_conv_pool", "all conv": ""}
    assert list(plan.networks) == ["A", "B", "C"]
    for letter, (named,) in plan.networks.items():
        for form, suffix in suffixes.items():
            published = network(f"model.name=all_cnn_{letter.lower()}{suffix}")
            assert network(named, *plan.arms[form]) == published


@pytest.mark.parametrize(
    ("whole", "small"),
    [
        ("temporal_pooling.py", "temporal_pooling.py:small"),
        ("spectrogram_pooling.py:speakers", "spectrogram_pooling.py:speakers,small"),
    ],
)
def test_a_small_study_is_a_part_of_the_whole(whole, small):
    whole, small = study(whole), study(small)
    assert small.arms.items() < whole.arms.items()
    assert (small.config, small.baseline) == (whole.config, whole.baseline)
    assert len(small.seeds) >= 3


@pytest.mark.parametrize("name", ["temporal_pooling.py:tiny", "spectrogram_pooling.py:speakers,s"])
def test_an_unknown_size_is_refused(name):
    with pytest.raises(UserError, match=r"allowed.*: small"):
        study(name)


def test_an_unknown_network_is_refused():
    with pytest.raises(UserError, match="did you mean 'vgg11'"):
        study("pooling.py:vgg12")
