"""What airbench94 (Jordan 2024) does beside the usual: whitening, turns, averaged views."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.config.load import apply_override
from cnn.data import load_batch, open_dataset
from cnn.data.order import Order
from cnn.models.airbench import partial_identity
from cnn.training.assembly import make_evaluator, make_trainer
from cnn.training.plan import make_training_plan
from cnn.training.tta import with_views
from cnn.training.whitening import whitening_kernel
from configs import airbench
from tests.conftest import tiny_config

NETWORK = ("model.name=airbench", "model.features=4,6", "model.depths=1,1")


def opened(config):
    """Returns the data set of a config and its trainer on one device."""
    dataset = open_dataset(config.data)
    plan = make_training_plan(config, len(dataset.train), 1)
    return dataset, make_trainer(make_evaluator(config, dataset, devices=1), plan)


def position_logits(variables, inputs):
    """Logits that tell every pixel from every other."""
    return inputs.reshape(len(inputs), -1) @ variables


@pytest.mark.parametrize(
    ("views", "moves"),
    [
        ("none", [(0, 0, False, 1.0)]),
        ("mirror", [(0, 0, False, 0.5), (0, 0, True, 0.5)]),
        (
            "mirror_translate",
            [
                (di, di, flip, 0.25 if not di else 0.125)
                for di in (0, -1, 1)
                for flip in (False, True)
            ],
        ),
    ],
)
def test_logits_are_averaged_over_the_published_views(views, moves):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 5, 6, 2)).astype(np.float32)
    variables = rng.normal(size=(60, 4)).astype(np.float32)
    expected = np.zeros((3, 4))
    for di, dj, flip, weight in moves:
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        seen = padded[:, 1 + di : 6 + di, 1 + dj : 7 + dj]
        seen = seen[:, :, ::-1] if flip else seen
        expected += weight * (seen.reshape(3, -1) @ variables)
    found = with_views(position_logits, views)(variables, jnp.asarray(images))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_whitened_patches_have_unit_moments():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 3))
    images = (rng.normal(size=(50, 9, 8, 3)) @ mixing).astype(np.float32)
    kernel = whitening_kernel(images, (2, 2))
    assert kernel.shape == (2, 2, 3, 24)
    y = jax.lax.conv_general_dilated(
        images, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    ).reshape(-1, 24)
    np.testing.assert_array_equal(kernel[..., 12:], -kernel[..., :12])
    half = np.asarray(y[:, :12])
    moments = half.T @ half / len(half)
    # 5e-4 is added to each eigenvalue, all of which are far larger here but the smallest.
    np.testing.assert_allclose(moments, np.eye(12), atol=0.02)


def test_the_whitened_layer_is_frozen_and_the_norms_scales_are():
    overrides = ("init_whitening=20", "optimizer.groups=whitening/kernel: rate=0 weight_decay=0")
    config = tiny_config(*NETWORK, *overrides)
    dataset, trainer = opened(config)
    state = trainer.new_state()
    images = np.asarray(dataset.signal.prepare(dataset.train.read(np.arange(20))[0]))
    expected = whitening_kernel(images, (2, 2))
    np.testing.assert_array_equal(state.params["whitening"]["kernel"], expected)
    for batch in trainer.feed.batches(0, 3):
        state, _ = trainer.step(state, batch)
    np.testing.assert_array_equal(state.params["whitening"]["kernel"], expected)
    assert np.any(state.params["whitening"]["bias"])


def test_another_network_cannot_be_whitened():
    config = tiny_config("init_whitening=20")
    with pytest.raises(UserError, match="init_whitening: the network has no layer named whitening"):
        opened(config)


@pytest.mark.parametrize("placement", ["device", "stream"])
def test_each_image_is_mirrored_in_every_other_epoch(placement):
    config = tiny_config("augment.flip=True", "augment.alternate=True")
    config.data.placement = placement
    dataset, trainer = opened(config)
    originals = dataset.train.read(np.arange(len(dataset.train)))[0]
    turns = {}
    for epoch in range(3):
        for index, image in _epoch(trainer.feed, epoch, len(dataset.train)):
            is_mirrored = not np.array_equal(image, originals[index])
            if is_mirrored:
                np.testing.assert_array_equal(image, originals[index][:, ::-1])
            turns.setdefault(index, []).append(is_mirrored)
    assert len(turns) == len(dataset.train)
    assert all(a != b and a == c for a, b, c in turns.values())
    first = sum(a for a, _, _ in turns.values())
    assert 0.25 * len(turns) < first < 0.75 * len(turns)


def _epoch(feed, epoch, examples):
    """Yields what the steps of one epoch see, with the index of each example."""
    start, stop = epoch * examples, (epoch + 1) * examples
    for step, batch in zip(
        range(start // 16, -(-stop // 16)), feed.batches(start // 16, -(-stop // 16)), strict=True
    ):
        images = np.asarray(jax.jit(load_batch)(feed.arrays, batch)["input"])
        for row, index in enumerate(Order(0, examples).batch(step, 16)):
            if start <= step * 16 + row < stop:
                yield index, images[row]


def test_convolutions_start_as_identities():
    """As `torch.nn.init.dirac_` on the first kernels, which the authors call."""
    shape = (3, 3, 5, 8)
    kernel = partial_identity(jax.random.key(0), shape)
    x = np.random.default_rng(0).normal(size=(2, 6, 7, 5)).astype(np.float32)
    y = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_array_equal(y[..., :5], x)
    rest = np.asarray(kernel[..., 5:])
    assert 0.9 * 45**-0.5 < np.abs(rest).max() <= 45**-0.5
    narrow = partial_identity(jax.random.key(0), (3, 3, 5, 2))
    np.testing.assert_array_equal(narrow[1, 1], np.eye(5)[:, :2])


def test_the_ready_config_takes_a_step():
    config = airbench.get_config()
    for text in (
        "data.source=synthetic",
        "data.synthetic_shape=16,16,3",
        "data.synthetic_examples=64,32",
        "model.features=4,6,6",
        "train.batch_size=16",
        "init_whitening=32",
    ):
        apply_override(config, text)
    _, trainer = opened(config)
    state, sums = trainer.step(trainer.new_state(), next(trainer.feed.batches(0, 1)))
    assert np.isfinite(sums["loss"])
    scales = [state.params[name]["scale"] for name in state.params if "norm" in name]
    assert scales
    assert all(np.all(scale == 1) for scale in scales)
