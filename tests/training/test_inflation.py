"""A network of clips from one of images: clips of equal frames get the logits of the frame."""

import jax
import numpy as np
import pytest

from cnn import models
from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.loop import train
from cnn.training.plan import make_training_plan
from cnn.training.stored_weights import read_weights
from tests.conftest import tiny_config

SHAPES = {
    "plain": ("model.features=4,6", "model.depths=1,2"),
    "resnet18": ("model.features=4,6", "model.depths=1,1", "model.stem=cifar"),
}
CLIPS = (
    *("data.signal=video", "data.synthetic_shape=8,8,8,3", "data.video.frames=8"),
    *("data.validation=0%", "data.mean=0.5,0.5,0.5", "data.std=0.25,0.25,0.25"),
)


@pytest.fixture(scope="module", params=SHAPES)
def source(request, tmp_path_factory):
    """A run whose kernels and statistics are not those of its birth."""
    folder = tmp_path_factory.mktemp("source") / request.param
    fields = (f"model.name={request.param}", *SHAPES[request.param], "model.padding=CIRCULAR")
    train(tiny_config(*fields, "train.duration=2 steps"), str(folder))
    return folder


def variables_of_clips(name, source, *overrides):
    config = tiny_config(
        *(*CLIPS, f"model.name={name}", *SHAPES[source.name], f"init_from={source}", *overrides)
    )
    dataset = open_dataset(config.data)
    evaluator = make_evaluator(config, dataset)
    trainer = make_trainer(evaluator, make_training_plan(config, len(dataset.train), 1))
    return evaluator, trainer.new_state().variables(), trainer.start


def both(name, source, form, padding):
    """Returns the logits of two images, and of clips that show one of them in every frame."""
    stored = read_weights(str(source), "--workdir")
    with stored.config.unlocked():
        stored.config.model.padding = padding
    x = np.float32(np.random.default_rng(0).normal(size=(2, 8, 8, 3)))
    network = models.build(stored.config.model, stored.num_classes)
    of_images = jax.jit(lambda x: network.apply(stored.variables, x, train=False))(x)
    fields = (f"init_inflation={form}", f"model.padding={padding}")
    evaluator, variables, _ = variables_of_clips(name, source, *fields)
    clips = np.repeat(x[:, None], 8, axis=1)
    of_clips = jax.jit(lambda x: evaluator.model.apply(variables, x, train=False))(clips)
    return np.asarray(of_images), np.asarray(of_clips)


NAMES = {"plain": ("plain3d",), "resnet18": ("r3d_18", "mc3_18")}


@pytest.mark.parametrize(
    ("form", "padding"),
    [
        ("mean", "CIRCULAR"),
        ("centre", "torch"),
        pytest.param("centre", "SAME", marks=pytest.mark.exhaustive),
    ],
)
def test_a_clip_of_equal_frames_has_the_logits_of_the_frame(source, form, padding):
    for name in NAMES[source.name]:
        of_images, of_clips = both(name, source, form, padding)
        assert np.abs(of_images[0] - of_images[1]).max() > 1e-3
        np.testing.assert_allclose(of_clips, of_images, atol=2e-5 * np.abs(of_images).max())


def test_zeros_beyond_the_clip_count_in_the_mean(source):
    """What the docstring excludes: the oracle tells the forms apart."""
    of_images, of_clips = both(NAMES[source.name][0], source, "mean", "torch")
    assert np.abs(of_clips - of_images).max() > 1e-3 * np.abs(of_images).max()


def test_kernels_are_those_of_i3d(source):
    name = NAMES[source.name][0]
    kernels = {}
    for form in ("mean", "centre"):
        _, variables, start = variables_of_clips(name, source, f"init_inflation={form}")
        leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
        kernels[form] = [leaf for _, leaf in leaves if leaf.ndim == 5 and leaf.shape[0] == 3]
        assert start.origin["step"] == 2
    flat = read_weights(str(source), "--workdir").variables["params"]
    flat = [leaf for leaf in jax.tree.leaves(flat) if leaf.ndim == 4 and leaf.shape[0] == 3]
    assert len(flat) == len(kernels["mean"]) > 2
    for mean, centre, kernel in zip(kernels["mean"], kernels["centre"], flat, strict=True):
        np.testing.assert_allclose(mean.sum(0), kernel, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(mean[0], mean[2])
        np.testing.assert_array_equal(centre[1], kernel)
        np.testing.assert_array_equal(centre[::2], 0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "init_inflation=mean or centre inflates kernels"),
        (("init_inflation=mean", "model.features=4,8"), "has a network .* of another shape"),
        (
            ("init_inflation=mean", "init_from=README.md"),
            "README.md is a file; import the image network",
        ),
        (("init_inflation=mean", "init_from="), "init_inflation: has no effect without init_from"),
    ],
)
def test_what_does_not_fit_is_refused(source, overrides, message):
    with pytest.raises(UserError, match=message):
        variables_of_clips(NAMES[source.name][0], source, *overrides)
