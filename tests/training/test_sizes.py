"""Progressive resizing: training images whose size is a function of the step."""

import signal

import cv2
import jax
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.interruption import InterruptedRun
from cnn.training.loop import train
from cnn.training.plan import make_training_plan
from cnn.training.replicas import train_replicas
from cnn.training.stored_weights import read_weights
from tests.conftest import tiny_config

SIZES = ("augment.sizes=8,12", "augment.size_boundaries=3 steps")
STEPS = 5


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """JPEGs of odd sizes in two classes."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 4)):
        for i in range(count):
            folder = root / split / "ab"[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (15 + i % 7, 30 - i % 5, 3), np.uint8)
            cv2.imwrite(str(folder / f"{i}.jpg"), pixels)
    return root


def config_of(images, *overrides):
    return tiny_config(
        *("data.source=folder", f"data.path={images}", "data.validation=0%"),
        *("data.image_size=14", "train.batch_size=8", f"train.duration={STEPS} steps"),
        *("augment.random_resized_crop=0.3,1", "checkpoint.every=1 steps", *SIZES, *overrides),
    )


def trainer_of(config):
    dataset = open_dataset(config.data)
    evaluator = make_evaluator(config, dataset)
    return make_trainer(evaluator, make_training_plan(config, len(dataset.train), 1))


def test_each_step_has_its_size_and_each_size_one_program(images):
    trainer = trainer_of(config_of(images))
    batches = list(trainer.feed.batches(0, STEPS))
    assert [batch["input"].shape[1] for batch in batches] == [8, 8, 8, 12, 12]
    # The same step from a feed that begins there: nothing depends on what came before.
    (again,) = trainer.feed.batches(3, 4)
    np.testing.assert_array_equal(again["input"], batches[3]["input"])
    state = trainer.new_state()
    for batch in batches:
        state, sums = trainer.step(state, batch)
        assert np.isfinite(float(sums["loss"]))
    assert trainer.update._cache_size() == 2
    # Evaluation is at data.image_size.
    assert trainer.evaluator.dataset.test.read(np.arange(1))[0].shape == (1, 14, 14, 3)


def weights(folder):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(read_weights(str(folder), "x").variables)]


def assert_same_bytes(one, other):
    for a, b in zip(weights(one), weights(other), strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_run_goes_on_to_the_same_bytes(images, tmp_path):
    config = config_of(images)
    train(config, str(tmp_path / "whole"))
    for at in (2, 3, 4):
        alive = iter(range(1, STEPS + 1))

        def stop(at=at, alive=alive):
            if next(alive) == at:
                signal.raise_signal(signal.SIGTERM)

        run = tmp_path / f"stopped_{at}"
        with pytest.raises(InterruptedRun):
            train(config, str(run), alive=stop)
        train(config, str(run))
        assert_same_bytes(tmp_path / "whole", run)


def test_replicas_see_the_same_sizes(images, tmp_path):
    configs = [config_of(images, f"seed={seed}") for seed in (0, 1)]
    endings = train_replicas(configs, [tmp_path / "0", tmp_path / "1"])
    assert not [ending for ending in endings if isinstance(ending, Exception)]
    train(configs[1], str(tmp_path / "alone"))
    for a, b in zip(weights(tmp_path / "alone"), weights(tmp_path / "1"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("augment.size_boundaries=2 steps,3 steps",), "2 sizes need 1, increasing"),
        (("augment.size_boundaries=9 steps",), r"are steps \(9,\); 2 sizes need 1"),
        (("data.placement=device",), "cannot be combined with .* augment.sizes"),
        (("model.head=flatten",), r"augment.sizes: plain does not take 8x8 pixels"),
        (("augment.cutout=10",), "augment.cutout: 10 is out of range; images of 8x8"),
        (("data.source=synthetic", "data.path=", "data.image_size=0"), "is not resized"),
    ],
)
def test_what_cannot_be_had_is_refused(images, overrides, message):
    with pytest.raises(UserError, match=message):
        trainer_of(config_of(images, *overrides))
