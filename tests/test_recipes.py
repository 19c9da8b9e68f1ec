"""Published recipes for ImageNet take steps on JPEGs of odd sizes."""

import ast

import cv2
import jax
import numpy as np
import pytest

from cnn.config.load import load
from cnn.data import open_dataset
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.plan import make_training_plan
from tests.conftest import REPOSITORY
from tests.cost.test_plan import needs_libtpu, plan

FOLDER = REPOSITORY / "configs" / "recipes"
FILES = sorted(f.stem for f in FOLDER.glob("*.py") if f.stem not in ("__init__", "imagenet"))
SHORT = ("model.features=4,4", "model.depths=1,1")
# The networks narrowed and shortened, and everything else as it is.
NARROW = {
    "resnet_strikes_back:a1": SHORT,
    "imagenet_ffcv": (*SHORT, "model.ghost_batch=8", "augment.sizes=24,28"),
    "imagenet_mobilenet_v2": SHORT,
    "imagenet_vgg16_bn": (*SHORT, "model.head=flatten(hidden=(8, 8), grid=7)"),
    "imagenet_convnext_t": SHORT,
}
# Whose fields the others set too, but for the network's.
SIMPLE = ("imagenet_mobilenet_v2", "imagenet_vgg16_bn", "imagenet_convnext_t")
# Other values of the fields that a1 sets.
SIBLINGS = {
    "resnet_strikes_back:a2": SHORT,
    "resnet_strikes_back:a3": (*SHORT, "augment.sizes=24"),
}
SMALL = (
    *("data.source=folder", "data.train_split=train", "data.test_split=test", "data.workers=2"),
    *("data.image_size=32", "train.batch_size=8", "mesh.devices=1", "model.dtype=float32"),
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A thousand JPEGs in two classes."""
    root, rng = tmp_path_factory.mktemp("imagenet"), np.random.default_rng(0)
    for split, count in (("train", 1000), ("test", 8)):
        for i in range(count):
            folder = root / split / ("n01440764", "n01443537")[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (33 + i % 13, 51 - i % 17, 3), np.uint8)
            cv2.imwrite(str(folder / f"{i}.JPEG"), pixels)
    return root


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.exhaustive if name in (*SIMPLE, *SIBLINGS) else ())
        for name in NARROW | SIBLINGS
    ],
)
def test_a_recipe_takes_steps(images, name):
    file, colon, argument = name.partition(":")
    path = f"configs/recipes/{file}.py{colon}{argument}"
    config = load(path, (*SMALL, f"data.path={images}", *(NARROW | SIBLINGS)[name])).config
    dataset = open_dataset(config.data)
    assert len(dataset.train) == 1000
    evaluator = make_evaluator(config, dataset)
    trainer = make_trainer(evaluator, make_training_plan(config, 1000, 1))
    state = trainer.new_state()
    before = jax.device_get(state.params)
    for batch in trainer.feed.batches(0, 2):
        state, sums = trainer.step(state, batch)
        assert np.isfinite(float(sums["loss"]))
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, jax.device_get(state.params))
    assert any(jax.tree.leaves(moved))


@pytest.mark.exhaustive
@needs_libtpu
@pytest.mark.parametrize("name", [*NARROW, *SIBLINGS])
def test_a_recipe_compiles_for_a_tpu_slice(name):
    """As it is, but for the batch, of which each chip gets 32 examples."""
    file, colon, argument = name.partition(":")
    config = f"--config=configs/recipes/{file}.py{colon}{argument}"
    groups = ["--config.model.ghost_batch=32"] if name == "imagenet_ffcv" else []
    done = plan(config, "--topology=v5e:2x2", "--per-chip=32", *groups)
    assert done.returncode == 0, done.stderr
    assert "v5e:2x2" in done.stdout


def test_every_recipe_is_tried():
    assert {name.partition(":")[0] for name in NARROW} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_recipe_says_its_source_and_accuracy_and_claims_nothing(file):
    text = " ".join(ast.get_docstring(ast.parse((FOLDER / f"{file}.py").read_text())).split())
    assert "accuracy" in text
    assert "%" in text
    assert "as published" in text
    assert "not trained here" in text
    assert f"--config=configs/recipes/{file}.py" in text
